package authn

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/dpop"
	"github.com/portcullis-gateway/portcullis/shared/token"
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
	reasonProofDates  = reason{cause.ProofTime, "the proof has an exp that has passed, or an nbf in the future"}
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
	case !inDates(proof, r.Now, t.Issuer.def.ClockSkew):
		return badProof(reasonProofDates)
	case a.proofs.Used(proof.Thumbprint, proof.ID, r.Now):
		return badProof(inProof(dpop.ErrReplayed))
	}
	err = a.signed(proof, r.Now)
	if err == nil && record {
		err = a.proofs.Use(ownerOf(t), proof.Thumbprint, proof.ID, r.Now, proof.IssuedAt+skew)
	}
	switch {
	case err == nil:
		return Failure{}
	case errors.Is(err, dpop.ErrFull), errors.Is(err, dpop.ErrShare):
		no := inProof(err)
		return Failure{Denial: denial.ProofsUnavailable.Because(no.cause), Reason: no.text}
	default:
		return badProof(inProof(err))
	}
}

// ownerOf is who answers for the proofs of a token: its issuer's client. Keys and
// tokens are free to make for whoever has one; a subject counts only if there is no client.
func ownerOf(t *Token) string {
	if t.ClientID != "" {
		return t.Issuer.def.ID + " client " + t.ClientID
	}
	return t.Issuer.def.ID + " subject " + t.Subject
}

// inDates checks exp and nbf, which a proof may have like any JWT (RFC 9449 section 4.2).
func inDates(proof *dpop.Proof, now, skew int64) bool {
	return (proof.ExpiresAt == token.Absent || now < proof.ExpiresAt+skew) && proof.NotBefore <= now+skew
}

// signed checks the proof's signature when it is its turn.
func (a *Authenticator) signed(proof *dpop.Proof, now int64) error {
	defer a.verification()()
	return proof.Verify(now)
}

// sameURL holds htu against the request without query and fragment, both normalised as
// RFC 9449 section 4.3 has it (RFC 3986 sections 6.2.2 and 6.2.3): the case of scheme and
// host, the scheme's own port, percent-encodings, dot segments, and "/" for no path. The
// request's path has no dot segments, or it would not have come so far. What else is
// brought into one form, the routes do not tell apart either.
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
	path, _, err := request.Canonical(nil, withoutDots(origin))
	return err == nil && bytes.Equal(path, r.Path)
}

// withoutDots removes the dot segments of an absolute path (RFC 3986 section 5.2.4).
func withoutDots(path []byte) []byte {
	if !bytes.Contains(path, []byte("/.")) && !bytes.Contains(path, []byte("/%2")) {
		return path
	}
	dotted := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(string(path))
	var kept []string
	segments := strings.Split(dotted[1:], "/")
	for i, segment := range segments {
		isDots := segment == "." || segment == ".."
		if segment == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
		if !isDots {
			kept = append(kept, segment)
		} else if i == len(segments)-1 {
			kept = append(kept, "") // "/a/b/.." is "/a/"
		}
	}
	return []byte("/" + strings.Join(kept, "/"))
}
