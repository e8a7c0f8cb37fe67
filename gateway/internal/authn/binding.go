package authn

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"

	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

//nolint:gochecknoglobals // a constant
var reasonBinding = reason{cause.Binding, "cnf is not one that can be checked: neither x5t#S256 (RFC 8705) nor jkt (RFC 9449), or malformed"}

// Binding is what a token is bound to by its cnf claim (RFC 7800). The zero
// Binding: to nothing.
type Binding struct {
	// Key is the thumbprint of a DPoP key (RFC 9449 section 6.1); empty: none.
	Key string
	// Certificate is the SHA-256 of a client certificate (RFC 8705 section 3.1), if ByCertificate.
	Certificate   [sha256.Size]byte
	ByCertificate bool
}

// Bound reports whether the token is bound to anything.
func (b *Binding) Bound() bool { return b.ByCertificate || b.Key != "" }

// Matches reports whether the token is bound to this certificate; to nil it never is.
func (b *Binding) Matches(certificate *x509.Certificate) bool {
	if !b.ByCertificate || certificate == nil {
		return false
	}
	sum := sha256.Sum256(certificate.Raw)
	return subtle.ConstantTimeCompare(sum[:], b.Certificate[:]) == 1
}

// readBinding reads cnf. A mapping must not make a bound token an unbound one:
// so it is read before any.
//
// RFC 7800 section 3.1 would have members ignored that are not understood. But a
// token that is bound in a way nobody here can check must not pass for one that
// is not bound at all.
func (d *draft) readBinding() reason {
	value, ok := d.claims.Get("cnf")
	if !ok {
		return none
	}
	cnf, _ := value.(map[string]any)
	x5t, byCertificate := cnf["x5t#S256"]
	jkt, byKey := cnf["jkt"]
	if !byCertificate && !byKey {
		return reasonBinding
	}
	if byCertificate {
		text, _ := x5t.(string)
		sum, ok := thumbprint(text)
		if !ok {
			return reasonBinding
		}
		d.binding.Certificate, d.binding.ByCertificate = sum, true
	}
	if byKey {
		text, _ := jkt.(string)
		if _, ok := thumbprint(text); !ok {
			return reasonBinding
		}
		d.binding.Key = text
	}
	return none
}

// thumbprint reads a SHA-256 in strict base64url. Its length leaves no room for line breaks.
func thumbprint(text string) (sum [sha256.Size]byte, ok bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(sha256.Size) {
		return sum, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(sum[:], []byte(text))
	return sum, err == nil && n == sha256.Size
}
