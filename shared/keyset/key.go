package keyset

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/signature"
)

// Bounds of RSA keys.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
)

// Key is one verification key.
type Key struct {
	// ID is the `kid`; empty if the key has none.
	ID string
	// Issuer is whose tokens the key signs, where a key set of several issuers says so
	// in a member `issuer`; empty: it does not.
	Issuer string
	// Origin says where the key was configured or found, for people: "keys.pem[0]".
	Origin string

	algorithms Algorithms
	declared   Algorithm // the key's own `alg`; 0: none
	material   any       // see Material
	rsa        *signature.RSA
	p256       *signature.P256
	notBefore  int64
	notAfter   int64
}

// Algorithms are those the key may be used with: at least one.
func (k *Key) Algorithms() Algorithms { return k.algorithms }

// Material returns the *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey,
// *signature.Ed448, *signature.Secp256k1 or, for a shared secret, []byte. It must not
// be changed.
func (k *Key) Material() any { return k.material }

// Verify reports whether sig is the signature by alg of the message signed, if that
// can be decided faster than from the Material. If it is not decided, it cannot. It does
// not ask whether the key may be used with alg, nor when.
func (k *Key) Verify(alg Algorithm, signed, sig []byte) (valid, decided bool) {
	switch alg {
	case RS256:
		return k.rsa.Verify(crypto.SHA256, signed, sig)
	case RS384:
		return k.rsa.Verify(crypto.SHA384, signed, sig)
	case RS512:
		return k.rsa.Verify(crypto.SHA512, signed, sig)
	case ES256:
		return k.p256.Verify(signed, sig)
	case ES256K, EdDSA, Ed448:
		if m, ok := k.material.(interface{ Verify(signed, sig []byte) bool }); ok {
			return m.Verify(signed, sig), true
		}
	default:
	}
	return false, false
}

// Validity returns the first and the last second (Unix time) in which the key
// may be used; 0: no bound. It is that of a certificate, and of the key set the
// key was fetched with.
func (k *Key) Validity() (from, until int64) { return k.notBefore, k.notAfter }

// ValidAt reports whether the key may be used at now (Unix seconds).
func (k *Key) ValidAt(now int64) bool {
	return now >= k.notBefore && (k.notAfter == 0 || now <= k.notAfter)
}

// extends reports whether k is old, usable for at least as long.
func (k *Key) extends(old *Key) bool {
	longer := k.notAfter == 0 || old.notAfter != 0 && k.notAfter >= old.notAfter
	return longer && k.notBefore == old.notBefore && k.ID == old.ID && k.Issuer == old.Issuer && k.Origin == old.Origin &&
		k.algorithms == old.algorithms && k.declared == old.declared && k.sameMaterial(old)
}

func (k *Key) sameMaterial(old *Key) bool {
	switch m := k.material.(type) {
	case *rsa.PublicKey:
		return m.Equal(old.material)
	case *ecdsa.PublicKey:
		return m.Equal(old.material)
	case ed25519.PublicKey:
		return m.Equal(old.material)
	case *signature.Ed448:
		other, ok := old.material.(*signature.Ed448)
		return ok && bytes.Equal(m.Bytes(), other.Bytes())
	case *signature.Secp256k1:
		other, ok := old.material.(*signature.Secp256k1)
		return ok && bytes.Equal(m.Point(), other.Point())
	case []byte:
		secret, ok := old.material.([]byte)
		return ok && subtle.ConstantTimeCompare(m, secret) == 1
	}
	return false
}

// Thumbprint returns the RFC 7638 thumbprint (SHA-256, base64url) of a public
// key; for a secret it is empty, since a hash of a secret is a way to guess it.
func (k *Key) Thumbprint() string {
	members := k.members()
	if members == nil {
		return ""
	}
	var b strings.Builder
	for i, m := range members {
		fmt.Fprintf(&b, "%c%q:%q", ",{"[btoi(i == 0)], m.name, m.value)
	}
	b.WriteByte('}')
	sum := sha256.Sum256([]byte(b.String()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

type member struct{ name, value string }

// members are the required members of the key as a JWK, in lexical order
// (RFC 7638 section 3.2); nil for a secret.
func (k *Key) members() []member {
	enc := base64.RawURLEncoding.EncodeToString
	switch m := k.material.(type) {
	case *rsa.PublicKey:
		return []member{{"e", enc(big.NewInt(int64(m.E)).Bytes())}, {"kty", "RSA"}, {"n", enc(m.N.Bytes())}}
	case *ecdsa.PublicKey:
		point, err := m.Bytes()
		if err != nil {
			return nil
		}
		return ecMembers(m.Params().Name, point)
	case *signature.Secp256k1:
		return ecMembers("secp256k1", m.Point())
	case ed25519.PublicKey:
		return []member{{"crv", "Ed25519"}, {"kty", "OKP"}, {"x", enc(m)}}
	case *signature.Ed448:
		return []member{{"crv", "Ed448"}, {"kty", "OKP"}, {"x", enc(m.Bytes())}}
	}
	return nil
}

// ecMembers are those of an uncompressed point.
func ecMembers(curve string, point []byte) []member {
	enc := base64.RawURLEncoding.EncodeToString
	size := (len(point) - 1) / 2
	return []member{{"crv", curve}, {"kty", "EC"}, {"x", enc(point[1 : 1+size])}, {"y", enc(point[1+size:])}}
}

// newPublic checks a public key and gives it the algorithms of its kind.
func newPublic(public crypto.PublicKey) (*Key, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if err := checkRSA(p); err != nil {
			return nil, err
		}
		return &Key{material: p, algorithms: rsaAlgorithms, rsa: signature.NewRSA(p)}, nil
	case *ecdsa.PublicKey:
		alg, ok := curveAlgorithm(p.Curve)
		if !ok {
			return nil, errCurve
		}
		return &Key{material: p, algorithms: 1 << alg, p256: signature.NewP256(p)}, nil
	case ed25519.PublicKey:
		return &Key{material: p, algorithms: 1 << Ed25519}, checkEd25519(p)
	default:
		return nil, fmt.Errorf("keys of type %T are not supported", public)
	}
}

// newEd448 and newSecp256k1 check keys that the standard library does not know.
func newEd448(public []byte) (*Key, error) {
	if fips140.Enabled() {
		return nil, errFIPS
	}
	p, err := signature.NewEd448(public)
	return &Key{material: p, algorithms: 1 << Ed448}, err
}

func newSecp256k1(point []byte) (*Key, error) {
	if fips140.Enabled() {
		return nil, errFIPS
	}
	p, err := signature.NewSecp256k1(point)
	return &Key{material: p, algorithms: 1 << ES256K}, err
}

func curveAlgorithm(c elliptic.Curve) (Algorithm, bool) {
	switch c {
	case elliptic.P256():
		return ES256, true
	case elliptic.P384():
		return ES384, true
	case elliptic.P521():
		return ES512, true
	}
	return 0, false
}

func checkRSA(p *rsa.PublicKey) error {
	switch bits := p.N.BitLen(); {
	case bits < minRSABits:
		return fmt.Errorf("the RSA key has %d bits; at least %d are needed", bits, minRSABits)
	case bits > maxRSABits:
		return fmt.Errorf("the RSA key has %d bits; at most %d are accepted", bits, maxRSABits)
	case p.N.Bit(0) == 0:
		return errors.New("the RSA modulus is even")
	case p.E < minRSAExponent || p.E > 1<<31-1 || p.E%2 == 0:
		return fmt.Errorf("the RSA exponent is %d; an odd one from %d to 2^31-1 is needed", p.E, minRSAExponent)
	}
	return nil
}

// checkEd25519 refuses the points of small order, for which signatures exist
// that hold for many or all messages.
func checkEd25519(p ed25519.PublicKey) error {
	if len(p) != ed25519.PublicKeySize {
		return fmt.Errorf("an Ed25519 key has %d bytes, not %d", ed25519.PublicKeySize, len(p))
	}
	masked := [ed25519.PublicKeySize]byte(p)
	masked[31] &= 0x7f // the sign of x
	bad := 0
	for _, y := range smallOrder() {
		bad |= subtle.ConstantTimeCompare(masked[:], y)
	}
	if bad != 0 {
		return errSmallOrder
	}
	return nil
}

// smallOrder lists the encodings, without the sign, of the y of all points whose
// order divides eight, with those that are not reduced modulo 2^255-19.
func smallOrder() [][]byte {
	ff := strings.Repeat("ff", 30)
	var ys [][]byte
	for _, text := range []string{
		strings.Repeat("00", 32),                                           // order 4
		"01" + strings.Repeat("00", 31),                                    // order 1
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
		"ec" + ff + "7f", "ed" + ff + "7f", "ee" + ff + "7f", // -1, and 0 and 1 unreduced
	} {
		y, err := hex.DecodeString(text)
		if err != nil {
			panic("BUG: small-order table: " + err.Error())
		}
		ys = append(ys, y)
	}
	return ys
}

// newSecret makes a key for the HMAC algorithms whose hash is not longer than the secret (RFC 7518 section 3.2).
func newSecret(secret []byte) (*Key, error) {
	var algs Algorithms
	for alg, size := range map[Algorithm]int{HS256: 32, HS384: 48, HS512: 64} {
		if len(secret) >= size {
			algs |= 1 << alg
		}
	}
	if algs == 0 {
		return nil, fmt.Errorf("the secret has %d bytes; HS256 needs 32, HS384 48, HS512 64", len(secret))
	}
	return &Key{material: secret, algorithms: algs}, nil
}

// restrict leaves only the algorithms that are allowed.
func (k *Key) restrict(allowed Algorithms) error {
	if k.algorithms &= allowed; k.algorithms == 0 {
		return errNoFit
	}
	return nil
}
