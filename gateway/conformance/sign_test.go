package conformance_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // for crypto.SHA384 and SHA512
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

const secret = "a secret of thirty-two bytes or more, that is long enough for HS512 too"

// key signs tokens.
type key struct {
	alg, kid string
	private  crypto.Signer // nil: the secret is used
	secret   string
}

var (
	once  sync.Mutex
	pairs = map[string]crypto.Signer{}
)

// pair makes a key pair once for all tests: "rsa", "rsa-3072", "p256", "p384", "p521", "ed25519"; what is
// behind # makes another.
func pair(t testing.TB, name string) crypto.Signer {
	t.Helper()
	once.Lock()
	defer once.Unlock()
	if pairs[name] != nil {
		return pairs[name]
	}
	var made crypto.Signer
	var err error
	switch kind, _, _ := strings.Cut(name, "#"); kind {
	case "rsa":
		made, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-1024":
		made, err = rsa.GenerateKey(rand.Reader, 1024)
	case "rsa-3072":
		made, err = rsa.GenerateKey(rand.Reader, 3072)
	case "p256":
		made, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		made, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "p521":
		made, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ed25519":
		_, made, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("no key %s", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	pairs[name] = made
	return made
}

// spki is a public key as a resource has it: PEM without its armour.
func spki(t testing.TB, name string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pair(t, name).Public())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func certificate(t testing.TB, name string, from, until time.Time) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pair(t, name).Public(), pair(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// jwk is a public RSA or P-256 key as a member of a JWKS.
func jwk(t testing.TB, name, kid string) map[string]any {
	t.Helper()
	members := map[string]any{"use": "sig"}
	if kid != "" {
		members["kid"] = kid
	}
	switch p := pair(t, name).Public().(type) {
	case *rsa.PublicKey:
		members["kty"], members["n"], members["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		members["kty"], members["crv"], members["x"], members["y"] = "EC", p.Params().Name, b64(point[1:1+len(point)/2]), b64(point[1+len(point)/2:])
	}
	return members
}

func jwks(t testing.TB, keys ...map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var b64 = base64.RawURLEncoding.EncodeToString

// object is a JSON object. A member that is absent is taken out of what it is laid over.
type object map[string]any

type absent struct{}

func (o object) over(base object) object {
	made := maps.Clone(base)
	for name, value := range o {
		if _, out := value.(absent); out {
			delete(made, name)
			continue
		}
		made[name] = value
	}
	return made
}

// claims are those of a good token of the issuer for its client "app".
func claims(issuer string, changes object) object {
	now := time.Now().Unix()
	return changes.over(object{
		"iss": "https://" + issuer + ".test", "sub": "alice", "azp": "app", "jti": "j1", "iat": now - 10, "exp": now + 600,
	})
}

// token signs claims for an issuer with its own header.
func (k key) token(issuer string, changes object) string {
	return k.sign(k.header(nil), mustJSON(claims(issuer, changes)))
}

func (k key) header(changes object) string {
	h := object{"alg": k.alg, "typ": "JWT"}
	if k.kid != "" {
		h["kid"] = k.kid
	}
	return mustJSON(changes.over(h))
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// sign signs whatever header and payload say.
func (k key) sign(header, payload string) string {
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	return signed + "." + b64(k.signature(signed))
}

func (k key) signature(signed string) []byte {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[k.alg[len(k.alg)-min(3, len(k.alg)):]]
	digest := func() []byte { h := hash.New(); h.Write([]byte(signed)); return h.Sum(nil) }
	switch p := k.private.(type) {
	case nil:
		mac := hmac.New(hash.New, []byte(k.secret))
		mac.Write([]byte(signed))
		return mac.Sum(nil)
	case *rsa.PrivateKey:
		var opts crypto.SignerOpts = hash
		if k.alg[0] == 'P' {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		made, err := p.Sign(rand.Reader, digest(), opts)
		if err != nil {
			panic(err)
		}
		return made
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, p, digest())
		if err != nil {
			panic(err)
		}
		size := (p.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(p, []byte(signed))
	}
	panic("no such key")
}

func sha(text string) string {
	h := crypto.SHA256.New()
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}
