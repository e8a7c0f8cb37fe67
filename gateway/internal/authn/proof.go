package authn

import (
	"bytes"
	"crypto/subtle"
	"errors"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/dpop"
)

// proofWindow is how far a proof's iat may be from now in either direction, in
// seconds, besides the issuer's clock_skew.
const proofWindow = 60

// proofHeader is DPoP in canonical form.
const proofHeader = "Dpop"

// Reasons of proofs.
//
//nolint:gochecknoglobals // constants
var (
	reasonNoProof     = reason{cause.ProofMissing, "there is no DPoP header"}
	reasonProofs      = reason{cause.ProofRepeated, "there is more than one DPoP header"}
	reasonProofKey    = reason{cause.ProofThumbprint, "the proof is signed by another key than the token is bound to"}
	reasonProofToken  = reason{cause.ProofToken, "the proof's ath is of another token"}
	reasonProofMethod = reason{cause.ProofMethod, "the proof's htm is another method"}
	reasonProofURL    = reason{cause.ProofURL, "the proof's htu is another URL; the gateway sees the scheme, host and port that its listener or a trusted proxy tell"}
	reasonProofTime   = reason{cause.ProofTime, "the proof's iat is more than 60 s (and the issuer's clock_skew) from now"}
)

func badProof(r reason) Failure {
	return Failure{Denial: denial.InvalidProof.Because(r.cause), Reason: r.text}
}

// inProof makes an error of package dpop a reason.
func inProof(err error) reason {
	if e, ok := errors.AsType[dpop.Error](err); ok {
		return reason{e.Cause(), e.Error()}
	}
	return reason{cause.ProofMalformed, err.Error()} // BUG: it has no others
}

// Prove checks the DPoP proof of a request (RFC 9449 section 4.3) for a token
// that is bound to a key, whose bytes are compact. Its Failure is of
// denial.UnboundToken if there is no proof, InvalidProof, or ProofsUnavailable.
// A proof can be used once; with record false its use is not remembered.
func (a *Authenticator) Prove(t *Token, r *request.Request, compact []byte, record bool) Failure {
	value, count := r.Header.Get(proofHeader)
	if count == 0 {
		return Failure{Denial: denial.UnboundToken.Because(reasonNoProof.cause), Reason: reasonNoProof.text}
	}
	if count > 1 {
		return badProof(reasonProofs)
	}
	proof, err := dpop.Parse(value)
	if err != nil {
		return badProof(inProof(err))
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
		return badProof(inProof(dpop.ErrReplayed))
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
		return badProof(inProof(err))
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
