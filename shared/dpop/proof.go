package dpop

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

const (
	// Algorithms lists the accepted signature algorithms, as challenges name them.
	Algorithms = "ES256 ES384 ES512 ES256K EdDSA Ed25519 Ed448 PS256 PS384 PS512 RS256 RS384 RS512"
	// MaxBytes is the longest accepted proof.
	MaxBytes = 4 << 10

	maxID = 256
)

// Error is why a proof is refused. Errors are constants: compare with ==.
type Error string

// Error returns the reason.
func (e Error) Error() string { return string(e) }

// Cause returns what an operator's metrics call it.
func (e Error) Cause() cause.Cause {
	switch e {
	case ErrMalformed:
	case ErrType:
		return cause.ProofType
	case ErrAlgorithm:
		return cause.ProofAlgorithm
	case ErrKey:
		return cause.ProofKey
	case ErrClaims:
		return cause.ProofClaims
	case ErrSignature:
		return cause.ProofSignature
	case ErrReplayed:
		return cause.ProofReplayed
	case ErrFull:
		return cause.ProofMemory
	case ErrShare:
		return cause.ProofShare
	}
	return cause.ProofMalformed
}

// What is wrong with a proof.
const (
	ErrMalformed Error = "the proof is not a well-formed JWT"
	ErrType      Error = "the proof's typ is not dpop+jwt"
	ErrAlgorithm Error = "the proof's alg is not asymmetric"
	ErrKey       Error = "the proof's jwk is not one usable public key without private parts"
	ErrClaims    Error = "the proof lacks jti, htm, htu, iat or ath as they should be"
	ErrSignature Error = "the proof's signature is wrong"
	ErrReplayed  Error = "the proof was used before"
	ErrFull      Error = "too many fresh proofs to remember one more"
	ErrShare     Error = "the token's client has more fresh proofs remembered than there is room for others"
)

// Proof is a well-formed proof whose signature has not been checked.
type Proof struct {
	// ID is the jti.
	ID string
	// Method and URL are htm and htu as they stand.
	Method, URL string
	// TokenHash is the ath.
	TokenHash string
	// IssuedAt is the iat in seconds since 1970. ExpiresAt and NotBefore are the exp and
	// nbf, which a proof need not have: token.Absent.
	IssuedAt, ExpiresAt, NotBefore int64
	// Thumbprint is that of the key that signed it (RFC 7638, SHA-256, base64url).
	Thumbprint string

	unverified *token.Unverified
	key        *keyset.Set
}

// Parse reads a proof. The error is an Error. The result points into compact.
func Parse(compact []byte) (*Proof, error) {
	u, err := token.ParseLimit(compact, MaxBytes)
	switch {
	case err == token.ErrAlgorithm: //nolint:errorlint // a constant, never wrapped
		return nil, ErrAlgorithm
	case err != nil:
		return nil, ErrMalformed
	case !strings.EqualFold(u.Type, "dpop+jwt"):
		return nil, ErrType
	case u.Algorithm >= keyset.HS256:
		return nil, ErrAlgorithm
	}
	r := &u.Registered
	p := &Proof{unverified: u, IssuedAt: r.IssuedAt, ExpiresAt: r.ExpiresAt, NotBefore: r.NotBefore, ID: r.ID}
	if !p.readClaims(u.Claims) {
		return nil, ErrClaims
	}
	if err := p.readKey(compact); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Proof) readClaims(claims *token.Claims) bool {
	for name, to := range map[string]*string{"htm": &p.Method, "htu": &p.URL, "ath": &p.TokenHash} {
		if *to, _ = claims.Text(name); *to == "" {
			return false
		}
	}
	return p.ID != "" && len(p.ID) <= maxID && p.IssuedAt != token.Absent
}

// readKey reads the header's jwk. The header has passed the strict checks.
func (p *Proof) readKey(compact []byte) error {
	part, _, _ := bytes.Cut(compact, []byte{'.'})
	header, err := base64.RawURLEncoding.DecodeString(string(part))
	if err != nil {
		return ErrMalformed
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(header, &members); err != nil {
		return ErrMalformed
	}
	if len(members["jwk"]) == 0 {
		return ErrKey
	}
	one := append(append([]byte(`{"keys":[`), members["jwk"]...), `]}`...)
	set, skipped, err := keyset.ParseJWKS(one, keyset.Options{})
	if err != nil || len(skipped) > 0 || set.Len() != 1 {
		return ErrKey
	}
	if p.Thumbprint = set.Keys()[0].Thumbprint(); p.Thumbprint == "" {
		return ErrKey
	}
	p.key = set
	return nil
}

// Verify checks the signature, at now (Unix seconds). The error is an Error.
func (p *Proof) Verify(now int64) error {
	if _, err := p.unverified.Verify(p.key, now); err != nil {
		return ErrSignature
	}
	return nil
}

// TokenHash is what a proof's ath must be for an access token (RFC 9449 section 4.2).
func TokenHash(compact []byte) string {
	sum := sha256.Sum256(compact)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
