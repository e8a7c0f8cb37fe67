package authn

import (
	"bytes"
	"crypto/subtle"
	"errors"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/dpop"
)

// proofWindow is how far a proof's iat may be from now in either direction, in
// seconds, besides the issuer's clock_skew.
const proofWindow = 60

// proofHeader is DPoP in canonical form.
const proofHeader = "Dpop"

// Reasons of proofs.
const (
	reasonProofCount  = "there is not exactly one DPoP header"
	reasonProofKey    = "the proof is signed by another key than the token is bound to"
	reasonProofToken  = "the proof's ath is of another token"
	reasonProofMethod = "the proof's htm is another method"
	reasonProofURL    = "the proof's htu is another URL; the gateway sees the scheme, host and port that its listener or a trusted proxy tell"
	reasonProofTime   = "the proof's iat is more than 60 s (and the issuer's clock_skew) from now"
)

func badProof(reason string) Failure {
	return Failure{Denial: denial.InvalidProof, Reason: reason}
}

// Prove checks the DPoP proof of a request (RFC 9449 section 4.3) for a token
// that is bound to a key, whose bytes are compact. Its Failure is of
// denial.UnboundToken if there is no proof, InvalidProof, or ProofsUnavailable.
// A proof can be used once; with record false its use is not remembered.
func (a *Authenticator) Prove(t *Token, r *request.Request, compact []byte, record bool) Failure {
	value, count := r.Header.Get(proofHeader)
	if count == 0 {
		return Failure{Denial: denial.UnboundToken, Reason: reasonProofCount}
	}
	if count > 1 {
		return badProof(reasonProofCount)
	}
	proof, err := dpop.Parse(value)
	if err != nil {
		return badProof(err.Error())
	}
	skew := proofWindow + t.Issuer.def.ClockSkew
	switch {
	case subtle.ConstantTimeCompare([]byte(proof.Thumbprint), []byte(t.Binding.Key)) != 1:
		return badProof(reasonProofKey)
	case proof.TokenHash != dpop.TokenHash(compact):
		return badProof(reasonProofToken)
	case proof.Method != string(r.Method):
		return badProof(reasonProofMethod)
	case !sameURL([]byte(proof.URL), r):
		return badProof(reasonProofURL)
	case proof.IssuedAt < r.Now-skew || proof.IssuedAt > r.Now+skew:
		return badProof(reasonProofTime)
	case a.proofs.Used(proof.Thumbprint, proof.ID, r.Now):
		return badProof(dpop.ErrReplayed.Error())
	}
	a.verifying <- struct{}{}
	err = proof.Verify(r.Now)
	<-a.verifying
	if err == nil && record {
		err = a.proofs.Use(proof.Thumbprint, proof.ID, r.Now, proof.IssuedAt+skew)
	}
	switch {
	case err == nil:
		return Failure{}
	case errors.Is(err, dpop.ErrFull):
		return Failure{Denial: denial.ProofsUnavailable, Reason: err.Error()}
	default:
		return badProof(err.Error())
	}
}

// sameURL holds htu against the request, both normalised (RFC 3986 sections
// 6.2.2 and 6.2.3) and without query and fragment.
func sameURL(htu []byte, r *request.Request) bool {
	if i := bytes.IndexAny(htu, "?#"); i >= 0 {
		htu = htu[:i]
	}
	scheme, authority, origin, err := request.SplitTarget(htu)
	if err != nil || scheme == "" || (scheme == "https") != r.Secure {
		return false
	}
	host, port, err := request.CanonicalHost(nil, authority)
	if err != nil || !request.SameAuthority(scheme, host, port, r.Host, r.Port) {
		return false
	}
	path, _, err := request.Canonical(nil, origin)
	return err == nil && bytes.Equal(path, r.Path)
}
