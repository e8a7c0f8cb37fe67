package keyset_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

var b64 = base64.RawURLEncoding.EncodeToString

func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	return must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, bits))
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	return must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(curve, rand.Reader))
}

type members map[string]any

func rsaJWK(n *big.Int, e int64, more members) members {
	return merge(members{"kty": "RSA", "n": b64(n.Bytes()), "e": b64(big.NewInt(e).Bytes())}, more)
}

func ecJWK(t *testing.T, key *ecdsa.PrivateKey, more members) members {
	t.Helper()
	point := must[[]byte](t)(key.PublicKey.Bytes())[1:]
	return merge(members{
		"kty": "EC", "crv": key.Params().Name, "x": b64(point[:len(point)/2]), "y": b64(point[len(point)/2:]),
	}, more)
}

func merge(a, b members) members {
	out := members{}
	for _, m := range []members{a, b} {
		maps.Copy(out, m)
	}
	return out
}

func jwks(t *testing.T, keys ...members) []byte {
	t.Helper()
	return must[[]byte](t)(json.Marshal(map[string]any{"keys": keys}))
}

// modulus is an odd number of exactly this many bits; nobody signs with it here.
func modulus(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.Add(n, big.NewInt(12345))
}

func TestJWKAccepted(t *testing.T) {
	p256 := ecKey(t, elliptic.P256())
	for name, c := range map[string]struct {
		jwk  members
		want string
	}{
		"RSA":                         {rsaJWK(modulus(2048), 65537, nil), "RS256, RS384, RS512, PS256, PS384, PS512"},
		"RSA, alg":                    {rsaJWK(modulus(2048), 65537, members{"alg": "PS384", "use": "sig", "key_ops": []string{"verify"}}), "PS384"},
		"P-256":                       {ecJWK(t, p256, nil), "ES256"},
		"P-384":                       {ecJWK(t, ecKey(t, elliptic.P384()), nil), "ES384"},
		"P-521":                       {ecJWK(t, ecKey(t, elliptic.P521()), nil), "ES512"},
		"Ed25519":                     {members{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}, "EdDSA, Ed25519"},
		"RFC 9864":                    {members{"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}, "EdDSA, Ed25519"},
		"EdDSA and Ed25519":           {members{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}, "EdDSA, Ed25519"},
		"RFC 8037 section 2, Ed448":   {members{"kty": "OKP", "crv": "Ed448", "x": ed448Point}, "EdDSA, Ed448"},
		"RFC 9864 section 2.2, Ed448": {members{"kty": "OKP", "crv": "Ed448", "alg": "Ed448", "x": ed448Point}, "EdDSA, Ed448"},
		"RFC 8812 section 3.1":        {members{"kty": "EC", "crv": "secp256k1", "alg": "ES256K", "x": secpX, "y": secpY}, "ES256K"},
		"unknown x5c":                 {ecJWK(t, p256, members{"x5c": []string{"garbage"}, "x-own": 1}), "ES256"},
		"nulls (Jackson, RFC 7517 section 4: optional members)": {ecJWK(t, p256, members{
			"use": nil, "key_ops": nil, "alg": nil, "kid": nil, "x5u": nil, "x5c": nil, "x5t": nil, "x5t#S256": nil,
			"d": nil, "p": nil, "q": nil, "dp": nil, "dq": nil, "qi": nil, "oth": nil, "k": nil, "n": nil, "e": nil,
		}), "ES256"},
		"empty strings and lists (.NET's JsonWebKey)": {ecJWK(t, p256, members{
			"use": "", "key_ops": []string{}, "alg": "", "kid": "", "x5c": []string{}, "x5t": "", "d": "", "oth": []string{}, "k": "", "n": "",
		}), "ES256"},
		"both, of RSA": {rsaJWK(modulus(2048), 65537, members{"crv": nil, "x": "", "y": nil, "alg": "", "use": nil, "key_ops": []string{}}), "RS256, RS384, RS512, PS256, PS384, PS512"},
		"zeros before the modulus (Java's BigInteger)": {rsaJWK(modulus(2048), 65537, members{"n": b64(append([]byte{0}, modulus(2048).Bytes()...))}), "RS256, RS384, RS512, PS256, PS384, PS512"},
	} {
		set, skipped, err := keyset.ParseJWKS(jwks(t, c.jwk), keyset.Options{})
		if err != nil || len(skipped) > 0 || set.Len() != 1 {
			t.Errorf("%s: %d keys, skipped %v, %v", name, set.Len(), skipped, err)
			continue
		}
		if got := set.Keys()[0].Algorithms().String(); got != c.want {
			t.Errorf("%s: algorithms %s, want %s", name, got, c.want)
		}
	}
}

const (
	// The public key of RFC 8032 section 7.4, "Blank".
	ed448Point = "X9dEm1m0Yf0s54fsYWrUah2hNCSFpw4fig6nXYDpZ3jt8SR2m0bHBhvWeD3x5Q9s0foavq_oJWGA"
	// The generator of secp256k1 (SEC 2 section 2.4.1).
	secpX = "eb5mfvncu6xVoGKVzocLBwKb_NstzijZWfKBWxb4F5g"
	secpY = "SDradyajxGVdpPv8DhEIqP0XtEimhVQZnEfQj_sQ1Lg"
)

// Each key is skipped with its reason, and the good key next to it stays.
func TestJWKSkipped(t *testing.T) {
	good := members{"kty": "OKP", "crv": "Ed25519", "kid": "good", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
	p256 := ecKey(t, elliptic.P256())
	n := modulus(2048)
	fine := rsaJWK(n, 65537, nil)
	offCurve := ecJWK(t, p256, nil)
	offCurve["y"] = b64(make([]byte, 32))
	short := ecJWK(t, p256, nil)
	short["x"] = b64(make([]byte, 31))
	for reason, jwk := range map[string]members{
		"shared secret":               {"kty": "oct", "k": b64(make([]byte, 32)), "alg": "HS256"},
		"private key":                 rsaJWK(n, 65537, members{"d": "AQAB"}),
		"use is":                      merge(fine, members{"use": "enc"}),
		"key_ops do not":              merge(fine, members{"key_ops": []string{"encrypt"}}),
		"key_ops is not a list":       merge(fine, members{"key_ops": "verify"}),
		"alg is not a string":         merge(fine, members{"alg": 1}),
		"not a supported signature":   merge(fine, members{"alg": "RSA-OAEP"}),
		"alg \"none\" is not":         merge(fine, members{"alg": "none"}),
		"alg HS256 does not go":       merge(fine, members{"alg": "HS256"}),
		"alg ES384 does not go":       ecJWK(t, p256, members{"alg": "ES384"}),
		"has 2047 bits":               rsaJWK(modulus(2047), 65537, nil),
		"has 8193 bits":               rsaJWK(modulus(8193), 65537, nil),
		"modulus is even":             rsaJWK(new(big.Int).Add(n, big.NewInt(1)), 65537, nil),
		"exponent is 1;":              rsaJWK(n, 1, nil),
		"exponent is 3;":              rsaJWK(n, 3, nil),
		"exponent is 65538;":          rsaJWK(n, 65538, nil),
		"exponent is above":           rsaJWK(n, 1<<32+1, nil),
		"not on its curve":            offCurve,
		"x has 31 bytes":              short,
		"curve is not":                merge(ecJWK(t, p256, nil), members{"crv": "P-224"}),
		"has no n":                    {"kty": "RSA", "e": "AQAB"},
		"n: not base64url":            merge(fine, members{"n": "AQ\nAB"}),
		"e: not base64url":            merge(fine, members{"e": "AQAB="}),
		"kid has more than":           merge(fine, members{"kid": strings.Repeat("k", 257)}),
		"kty \"DSA\" is not":          {"kty": "DSA"},
		"has no kty":                  {},
		"small order":                 {"kty": "OKP", "crv": "Ed25519", "x": b64(append([]byte{1}, make([]byte, 31)...))},
		"an Ed25519 key has 32 bytes": {"kty": "OKP", "crv": "Ed25519", "x": b64(make([]byte, 31))},
		"alg Ed448 does not go":       {"kty": "OKP", "crv": "Ed25519", "alg": "Ed448", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
		"alg Ed25519 does not go":     {"kty": "OKP", "crv": "Ed448", "alg": "Ed25519", "x": ed448Point},
		"alg ES256 does not go":       {"kty": "EC", "crv": "secp256k1", "alg": "ES256", "x": secpX, "y": secpY},
		"an Ed448 key has 57 bytes":   {"kty": "OKP", "crv": "Ed448", "x": b64(make([]byte, 56))},
		"not a point of Ed448":        {"kty": "OKP", "crv": "Ed448", "x": b64(append([]byte{2}, make([]byte, 56)...))},
		"the Ed448 point has a small": {"kty": "OKP", "crv": "Ed448", "x": b64(append([]byte{1}, make([]byte, 56)...))},
		"its point is not on its":     {"kty": "EC", "crv": "secp256k1", "x": secpX, "y": secpX},
		"its y has 31 bytes, not 32":  {"kty": "EC", "crv": "secp256k1", "x": secpX, "y": b64(make([]byte, 31))},
		"curve is not P-256, P-384, P-521, secp256k1, Ed25519 or Ed448": {"kty": "OKP", "crv": "X25519", "x": b64(make([]byte, 32))},
	} {
		set, skipped, err := keyset.ParseJWKS(jwks(t, jwk, good), keyset.Options{})
		if err != nil {
			t.Errorf("%s: %v", reason, err)
			continue
		}
		if len(skipped) != 1 || skipped[0].Index != 0 || !strings.Contains(skipped[0].Reason, reason) {
			t.Errorf("%s: skipped %v", reason, skipped)
		}
		if set.Len() != 1 || set.Keys()[0].ID != "good" {
			t.Errorf("%s: the good key is gone", reason)
		}
	}
}

// What a key of a set is like does not matter to the others: each row is put before,
// behind and between good ones.
func TestJWKSkippedWhateverItIs(t *testing.T) {
	const good = `{"kty":"OKP","crv":"Ed25519","kid":"good","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	for bad, reason := range map[string]string{
		`null`: "not an object", `1`: "not an object", `"key"`: "not an object", `[]`: "not an object", `true`: "not an object", `1e999`: "not an object",
		`{}`: "has no kty", `{"kty":null}`: "has no kty", `{"kty":7}`: "kty is not a string",
		`{"kty":"RSA","kty":"oct"}`:                                           "has a member \"kty\" twice",
		`{"kty":"OKP","crv":"Ed25519","x":"AA","y":{"a":1,"a":2}}`:            "has a member \"a\" twice",
		strings.Repeat("[", 20) + strings.Repeat("]", 20):                     "nested too deeply",
		`{"x5c":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`:   "nested too deeply",
		"{\"kty\":\"RSA\",\"kid\":\"\xff\"}":                                  "not UTF-8",
		`{"kty":"RSA","use":"enc","kid":"e","n":"AQAB","e":"AQAB"}`:           "its use is \"enc\"",
		`{"kty":"oct","k":"AAAA"}`:                                            "shared secret",
		`{"kty":"OKP","crv":"X448","x":"AA"}`:                                 "curve is not",
		`{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`:                          "kty \"AKP\" is not",
		`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`:                        "x has 1 bytes, not 32",
		`{"kty":"EC","crv":"P-256","d":"AA"}`:                                 "private key",
		`{"kty":"OKP","crv":"Ed25519","x":"AA"}`:                              "an Ed25519 key has 32 bytes",
		`{"kty":"OKP","crv":"Ed25519","x":"A","kid":"good"}`:                  "not base64url",
		`{"kty":"RSA","n":"AQAB","e":"AQAB"}`:                                 "bits",
		`{"kty":"RSA","n":"AQAB","e":"` + strings.Repeat("A", 100_000) + `"}`: "bits",
		`{"kty":"RSA","n":"` + strings.Repeat("_", 100_000) + `","e":"AQAB"}`: "bits",
		`{"kty":"RSA","kid":"` + strings.Repeat("k", 1000) + `"}`:             "kid has more than",
	} {
		for _, doc := range []string{bad + "," + good, good + "," + bad, good + "," + bad + "," + good} {
			set, skipped, err := keyset.ParseJWKS([]byte(`{"keys":[`+doc+`]}`), keyset.Options{})
			if err != nil || set.Len() < 1 || !set.HasID("good") {
				t.Errorf("%.60s: the good key is gone: %v", bad, err)
				continue
			}
			if len(skipped) != 1 || !strings.Contains(skipped[0].String(), reason) {
				t.Errorf("%.60s: skipped %v, want %q", bad, skipped, reason)
			}
		}
		if set, skipped, err := keyset.ParseJWKS([]byte(`{"keys":[`+bad+`]}`), keyset.Options{}); err != nil || set.Len() != 0 || len(skipped) != 1 {
			t.Errorf("%.60s alone: %d keys, %v, %v", bad, set.Len(), skipped, err)
		}
	}
}

func TestJWKSRefusedAsAWhole(t *testing.T) {
	many := make([]members, 1001)
	for i := range many {
		many[i] = members{"kty": "oct"}
	}
	for want, doc := range map[string]string{
		"not JSON":          `<html>`,
		"is not a JSON obj": `[]`,
		"no list `keys`":    `{"Keys":[]}`,
		"no list":           `{"keys":null}`,
		"1001 keys":         string(jwks(t, many...)),
		"a member \"keys\"": `{"keys":[],"k\u0065ys":[]}`,
		"no list `keys":     `{}`,
		"list `keys`":       `{"keys":{}}`,
		"it is not JSON":    `{"keys":[]} {}`,
		"524289 bytes":      `{"keys":[]}` + strings.Repeat(" ", 512<<10+1-11),
	} {
		if _, _, err := keyset.ParseJWKS([]byte(doc), keyset.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestSmallOrderPointsWouldVerifyAnything(t *testing.T) {
	// The identity with S = 0 and R = identity: the reason why such keys are refused.
	identity := append([]byte{1}, make([]byte, 31)...)
	sig := append(append([]byte{}, identity...), make([]byte, 32)...)
	if !ed25519.Verify(identity, []byte("anything"), sig) {
		t.Skip("the verifier refuses such keys by itself")
	}
	for _, y := range []string{
		strings.Repeat("00", 32), "01" + strings.Repeat("00", 30) + "80",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ec" + strings.Repeat("ff", 30) + "7f", "ed" + strings.Repeat("ff", 31), "ee" + strings.Repeat("ff", 30) + "7f",
	} {
		x := must[[]byte](t)(hex.DecodeString(y))
		_, skipped, err := keyset.ParseJWKS(jwks(t, members{"kty": "OKP", "crv": "Ed25519", "x": b64(x)}), keyset.Options{})
		if err != nil || len(skipped) != 1 || !strings.Contains(skipped[0].Reason, "small order") {
			t.Errorf("%s: skipped %v, %v", y, skipped, err)
		}
	}
}

func TestThumbprint(t *testing.T) {
	// The example of RFC 7638 section 3.1, and of RFC 8037 appendix A.3.
	const doc = `{"keys":[
	{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"},
	{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	set, skipped, err := keyset.ParseJWKS([]byte(doc), keyset.Options{})
	if err != nil || len(skipped) > 0 {
		t.Fatal(skipped, err)
	}
	for i, want := range []string{"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"} {
		if got := set.Keys()[i].Thumbprint(); got != want {
			t.Errorf("key %d: %s, want %s", i, got, want)
		}
	}
	again, skipped, err := keyset.ParseJWKS(set.JWKS(), keyset.Options{})
	if err != nil || len(skipped) > 0 || string(again.JWKS()) != string(set.JWKS()) {
		t.Errorf("the set does not survive writing and reading: %s, %v, %v", set.JWKS(), skipped, err)
	}
}

// RFC 7638 section 3.2: the members of each kty that a thumbprint is of.
func TestThumbprintsOfOtherCurves(t *testing.T) {
	for doc, canonical := range map[string]string{
		`{"keys":[{"kty":"OKP","crv":"Ed448","alg":"EdDSA","x":"` + ed448Point + `"}]}`:               `{"crv":"Ed448","kty":"OKP","x":"` + ed448Point + `"}`,
		`{"keys":[{"kty":"EC","crv":"secp256k1","x":"` + secpX + `","y":"` + secpY + `","kid":"k"}]}`: `{"crv":"secp256k1","kty":"EC","x":"` + secpX + `","y":"` + secpY + `"}`,
	} {
		set, skipped, err := keyset.ParseJWKS([]byte(doc), keyset.Options{})
		if err != nil || len(skipped) > 0 {
			t.Fatal(skipped, err)
		}
		sum := sha256.Sum256([]byte(canonical))
		if got := set.Keys()[0].Thumbprint(); got != b64(sum[:]) {
			t.Errorf("%s: %s", canonical, got)
		}
		again, skipped, err := keyset.ParseJWKS(set.JWKS(), keyset.Options{})
		if err != nil || len(skipped) > 0 || !again.Extends(set) || !set.Extends(again) {
			t.Errorf("the set does not survive writing and reading: %s, %v, %v", set.JWKS(), skipped, err)
		}
	}
}

// No validated module has secp256k1 and Ed448.
func TestFIPS(t *testing.T) {
	doc := []byte(`{"keys":[{"kty":"OKP","crv":"Ed448","x":"` + ed448Point + `"},{"kty":"EC","crv":"secp256k1","x":"` + secpX + `","y":"` + secpY + `"}]}`)
	if os.Getenv("KEYSET_TEST_FIPS") != "" {
		set, skipped, err := keyset.ParseJWKS(doc, keyset.Options{})
		if err != nil || set.Len() != 0 || len(skipped) != 2 || !strings.Contains(skipped[0].Reason, "FIPS") || !strings.Contains(skipped[1].Reason, "FIPS") {
			t.Errorf("%d keys, %v, %v", set.Len(), skipped, err)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPS$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on", "KEYSET_TEST_FIPS=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestFIPS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Keys that crypto/x509 does not know, with and without armour (RFC 8410 section 4, RFC
// 5480 section 2.1.1).
func TestOtherPEM(t *testing.T) {
	ed := must[[]byte](t)(base64.RawURLEncoding.DecodeString(ed448Point))
	x, y := must[[]byte](t)(base64.RawURLEncoding.DecodeString(secpX)), must[[]byte](t)(base64.RawURLEncoding.DecodeString(secpY))
	// The heads of the DER, as OpenSSL writes it.
	edDER := append(must[[]byte](t)(hex.DecodeString("3043300506032b6571033a00")), ed...)
	secpDER := slices.Concat(must[[]byte](t)(hex.DecodeString("3056301006072a8648ce3d020106052b8104000a03420004")), x, y)
	for want, der := range map[string][]byte{"EdDSA, Ed448": edDER, "ES256K": secpDER} {
		for _, text := range []string{encode("PUBLIC KEY", der), base64.StdEncoding.EncodeToString(der)} {
			keys, err := keyset.ParsePEM(text)
			if err != nil || len(keys) != 1 || keys[0].Algorithms().String() != want {
				t.Errorf("%s: %v, %v", want, keys, err)
			}
		}
	}
	for want, der := range map[string][]byte{
		"small order":      append(bytes.Clone(edDER[:12]), append([]byte{1}, make([]byte, 56)...)...),
		"not on its curve": append(bytes.Clone(secpDER[:len(secpDER)-1]), secpDER[len(secpDER)-1]^1),
		"parse public key": append(bytes.Clone(edDER), 0),
	} {
		if _, err := keyset.ParsePEM(encode("PUBLIC KEY", der)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	a, b := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	many := []members{
		rsaJWK(modulus(2048), 65537, members{"kid": "k1", "alg": "RS256"}),
		rsaJWK(modulus(2049), 65537, members{"kid": "k1", "alg": "PS256"}),
		ecJWK(t, a, members{"kid": "k2"}),
		ecJWK(t, b, nil),
	}
	for range keyset.MaxCandidates + 20 {
		many = append(many, rsaJWK(modulus(2050), 65537, members{"kid": "same"}))
	}
	set, skipped, err := keyset.ParseJWKS(jwks(t, many...), keyset.Options{})
	if err != nil || len(skipped) > 0 {
		t.Fatal(skipped, err)
	}
	for _, c := range []struct {
		kid  string
		alg  keyset.Algorithm
		want int
	}{
		{"k1", keyset.RS256, 1},
		{"k1", keyset.PS256, 1},
		{"k1", keyset.RS384, 0},
		{"k1", keyset.HS256, 0},
		{"k2", keyset.ES256, 1},                       // only the key of that kid
		{"k9", keyset.ES256, 1},                       // the key without a kid
		{"k9", keyset.RS256, 0},                       // unknown
		{"", keyset.ES256, 2},                         // all that fit
		{"", keyset.RS256, keyset.MaxCandidates + 21}, // all, of which so many are tried
		{"same", keyset.RS512, keyset.MaxCandidates + 20},
		{"k1", 0, 0},
		{"k1", 200, 0},
		{"", keyset.HS256, 0},
	} {
		if got := len(set.Candidates(c.kid, c.alg)); got != c.want {
			t.Errorf("kid %q, alg %s: %d candidates, want %d", c.kid, c.alg, got, c.want)
		}
	}
	notes := strings.Join(set.Notes(), "\n")
	for _, want := range []string{"121 keys fit a token with alg RS256 that has no kid; only the first 100", "120 keys for RS512 have the kid \"same\"; only the first 100"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "ES256") {
		t.Errorf("a note on two keys:\n%s", notes)
	}
	if set.HasID("k9") || !set.HasID("k2") || set.HasID("") {
		t.Error("HasID is wrong")
	}
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func certificate(t *testing.T, key crypto.Signer, from, until time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: until}
	return must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

func TestParsePEM(t *testing.T) {
	key := rsaKey(t, 2048)
	spki := must[[]byte](t)(x509.MarshalPKIXPublicKey(key.Public()))
	ec := must[[]byte](t)(x509.MarshalPKIXPublicKey(ecKey(t, elliptic.P384()).Public()))
	pkcs1 := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	from, until := time.Unix(1_700_000_000, 0), time.Unix(1_800_000_000, 0)
	cert := certificate(t, key, from, until)
	wrapped := func(der []byte) string {
		var b strings.Builder
		for i, r := range base64.StdEncoding.EncodeToString(der) {
			if i > 0 && i%64 == 0 {
				b.WriteString("\n   ")
			}
			b.WriteRune(r)
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		text string
		keys int
	}{
		"spki": {encode("PUBLIC KEY", spki), 1}, "pkcs1": {encode("RSA PUBLIC KEY", pkcs1), 1}, "cert": {encode("CERTIFICATE", cert), 1},
		"bare spki": {wrapped(spki), 1}, "bare pkcs1": {wrapped(pkcs1), 1}, "bare cert": {wrapped(cert), 1}, "ec": {encode("PUBLIC KEY", ec), 1},
		"two keys": {encode("PUBLIC KEY", spki) + encode("PUBLIC KEY", ec), 2},
	} {
		keys, err := keyset.ParsePEM(c.text)
		if err != nil || len(keys) != c.keys {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
			continue
		}
		if strings.Contains(name, "cert") {
			for now, want := range map[int64]bool{from.Unix() - 1: false, from.Unix(): true, until.Unix(): true, until.Unix() + 1: false} {
				if got := keys[0].ValidAt(now); got != want {
					t.Errorf("%s: valid at %d: %v", name, now, got)
				}
			}
		}
	}
	pkcs8 := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
	weak := must[[]byte](t)(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: modulus(1024), E: 65537}))
	p224 := must[[]byte](t)(x509.MarshalPKIXPublicKey(ecKey(t, elliptic.P224()).Public()))
	for want, text := range map[string]string{
		"empty":               " \n",
		"a private key":       encode("PRIVATE KEY", pkcs8),
		"holds a private key": encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)),
		"private key; only":   wrapped(pkcs8),
		"1024 bits":           encode("PUBLIC KEY", weak),
		"curve":               encode("PUBLIC KEY", p224),
		"a certificate and":   encode("CERTIFICATE", cert) + encode("CERTIFICATE", cert),
		"not a whole PEM":     encode("PUBLIC KEY", spki)[:100],
		"something that is":   encode("PUBLIC KEY", spki) + "trailing",
		"neither PEM nor":     "päng",
		"not a public key":    base64.StdEncoding.EncodeToString([]byte("hello")),
		"keys.jwks":           `{"keys":[]}`,
		"block \"X509 CRL\"":  encode("X509 CRL", cert),
		"parse certificate":   encode("CERTIFICATE", spki),
	} {
		if _, err := keyset.ParsePEM(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func secret(n int) *pb.HmacSecret {
	return &pb.HmacSecret{Source: &pb.HmacSecret_Value{Value: strings.Repeat("s", n)}}
}

func TestFromIssuerSecrets(t *testing.T) {
	secrets := keyset.Secrets{
		Env: func(name string) (string, bool) { return strings.Repeat("e", 48), name == "SET" },
		File: func(path string) ([]byte, error) {
			if path != "/there" {
				return nil, os.ErrNotExist
			}
			return []byte(strings.Repeat("f", 64) + "\n"), nil
		},
	}
	env := func(name string) *pb.HmacSecret { return &pb.HmacSecret{Source: &pb.HmacSecret_Env{Env: name}} }
	file := func(path string) *pb.HmacSecret { return &pb.HmacSecret{Source: &pb.HmacSecret_File{File: path}} }
	raw := make([]byte, 32)
	encoded := &pb.HmacSecret{Source: &pb.HmacSecret_Value{Value: base64.StdEncoding.EncodeToString(raw)}, Encoding: pb.HmacSecret_BASE64}
	for _, c := range []struct {
		secret *pb.HmacSecret
		algs   []string
		want   string // algorithms; or with "!": the error
	}{
		{secret(31), nil, "!keys.hmac_secrets[0]: the secret has 31 bytes"},
		{secret(32), nil, "HS256"},
		{secret(47), nil, "HS256"},
		{secret(48), nil, "HS256, HS384"},
		{secret(64), nil, "HS256, HS384, HS512"},
		{secret(64), []string{"HS512"}, "HS512"},
		{secret(48), []string{"HS512"}, "!none of the issuer's algorithms"},
		{secret(64), []string{"RS256"}, "!none of the issuer's algorithms"},
		{env("SET"), nil, "HS256, HS384"},
		{env("UNSET"), nil, "!variable UNSET is not set"},
		{env(""), nil, "!env is empty"},
		{file("/there"), nil, "HS256, HS384, HS512"},
		{file("/gone"), nil, "!file does not exist"},
		{encoded, nil, "HS256"},
		{&pb.HmacSecret{}, nil, "!one of value, env and file"},
		{&pb.HmacSecret{Source: &pb.HmacSecret_Value{Value: "***"}, Encoding: pb.HmacSecret_BASE64}, nil, "!not base64"},
		{secret(32), []string{"none"}, "!algorithms[0]: unsigned tokens"},
		{secret(32), []string{"HS256", "hs256"}, "!algorithms[1]: \"hs256\""},
	} {
		issuer := &pb.Issuer{Algorithms: c.algs, Keys: &pb.Keys{HmacSecrets: []*pb.HmacSecret{c.secret}}}
		set, err := keyset.FromIssuer(issuer, nil, secrets)
		if wanted, isErr := strings.CutPrefix(c.want, "!"); isErr {
			var faults fault.List
			if err == nil || !strings.Contains(err.Error(), wanted) || !errors.As(err, &faults) {
				t.Errorf("%v: got %v, want %q", c.secret, err, wanted)
			}
			if err != nil && strings.Contains(err.Error(), "ssss") {
				t.Errorf("the error tells the secret: %v", err)
			}
			continue
		}
		if err != nil || set.Len() != 1 || set.Keys()[0].Algorithms().String() != c.want {
			t.Errorf("%v: got %v, %v; want %s", c.secret, set, err, c.want)
		}
	}
	// Without resolvers, what only the gateway has is not read.
	set, err := keyset.FromIssuer(&pb.Issuer{Keys: &pb.Keys{HmacSecrets: []*pb.HmacSecret{env("SET"), file("/there")}}}, nil, keyset.Secrets{})
	if err != nil || set.Len() != 0 {
		t.Errorf("got %d keys, %v", set.Len(), err)
	}
	if got := string(keyset.NewSet(must[*keyset.Set](t)(keyset.FromIssuer(&pb.Issuer{Keys: &pb.Keys{HmacSecrets: []*pb.HmacSecret{secret(32)}}}, nil, secrets)).Keys()).JWKS()); got != `{"keys":[]}` {
		t.Errorf("a secret is written to a JWK set: %s", got)
	}
}

func TestFromIssuer(t *testing.T) {
	inline := must[*structpb.Struct](t)(structpb.NewStruct(map[string]any{"keys": []any{
		map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "p1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
	}}))
	spki := must[[]byte](t)(x509.MarshalPKIXPublicKey(ecKey(t, elliptic.P256()).Public()))
	issuer := &pb.Issuer{Keys: &pb.Keys{Pem: []string{encode("PUBLIC KEY", spki)}, Jwks: inline, JwksUrls: []string{"http://a/", "http://b/"}}}
	source := func(url, kid string) *pb.KeySet_Source {
		return &pb.KeySet_Source{
			Url: url, UsableUntil: timestamppb.New(time.Unix(1000, 0)),
			Jwks: string(jwks(t, rsaJWK(modulus(2048), 65537, members{"kid": kid}), members{"kty": "oct"})),
		}
	}
	fetched := &pb.KeySet{Sources: []*pb.KeySet_Source{source("http://a/", "a1"), source("http://gone/", "g1"), {Url: "http://b/", Jwks: "<html>"}}}
	set, err := keyset.FromIssuer(issuer, fetched, keyset.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 3 || !set.HasID("a1") || !set.HasID("p1") {
		t.Errorf("got %d keys", set.Len())
	}
	if set.HasID("g1") {
		t.Error("a URL that the issuer no longer names still brings keys")
	}
	if key := set.Candidates("a1", keyset.RS256)[0]; !key.ValidAt(1000) || key.ValidAt(1001) || key.Origin != "http://a/" {
		t.Errorf("the fetched key's end is not kept: %+v", key)
	}
	issuer.Discovery = true
	if set, err = keyset.FromIssuer(issuer, fetched, keyset.Secrets{}); err != nil || !set.HasID("g1") {
		t.Errorf("discovery: %v", err)
	}
	issuer.Discovery, issuer.Algorithms = false, []string{"ES256", "EdDSA"}
	if set, err = keyset.FromIssuer(issuer, fetched, keyset.Secrets{}); err != nil || set.HasID("a1") {
		t.Errorf("a fetched RSA key is used although the issuer allows no RSA: %v", err)
	}
	if got := strings.Join(set.Notes(), "\n"); !strings.Contains(got, "no key of http://a/ is used; of the first: none of the issuer's algorithms") || !strings.Contains(got, "the key set of http://b/ is not used") {
		t.Errorf("notes: %s", got)
	}
	for name, spoil := range map[string]func(*pb.Issuer){
		"keys.pem[0]: none of the issuer's": func(i *pb.Issuer) { i.Algorithms = []string{"EdDSA"} },
		"keys.jwks.keys[0]: its kty": func(i *pb.Issuer) {
			i.Keys.Jwks.Fields["keys"].GetListValue().Values[0].GetStructValue().Fields["kty"] = structpb.NewStringValue("X")
		},
		"keys.jwks: read JWK set":  func(i *pb.Issuer) { i.Keys.Jwks = &structpb.Struct{} },
		"keys.pem[1]: it is empty": func(i *pb.Issuer) { i.Keys.Pem = append(i.Keys.Pem, "") },
	} {
		bad := &pb.Issuer{Algorithms: []string{"ES256", "EdDSA"}, Keys: &pb.Keys{Pem: issuer.Keys.Pem, Jwks: must[*structpb.Struct](t)(structpb.NewStruct(inline.AsMap()))}}
		spoil(bad)
		if _, err := keyset.FromIssuer(bad, nil, keyset.Secrets{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}

// A provider's whole set, pasted: what serves verifies, and what does not is told.
func TestPastedSet(t *testing.T) {
	fine := `{"kty":"OKP","crv":"Ed25519","kid":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	enc := `{"kty":"RSA","use":"enc","kid":"enc","alg":"RSA-OAEP","n":"AQAB","e":"AQAB"}`
	for _, c := range []struct {
		name, keys string
		algorithms []string
		usable     int
		notes      string // or the faults, if none is usable
	}{
		{"all are good", fine, nil, 1, ""},
		{"Keycloak's, with its encryption key", enc + "," + fine, nil, 1, `keys.jwks.keys[0] is not used: its use is "enc", not "sig" (kid "enc")`},
		{"a key that is none", fine + ",null,7", nil, 1, "keys.jwks.keys[1] is not used: it is not an object\nkeys.jwks.keys[2] is not used: it is not an object"},
		{"one kid twice", fine + "," + fine, nil, 2, ""},
		{
			"another algorithm only", fine + `,{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			[]string{"EdDSA"},
			1, "keys.jwks.keys[1] is not used: none of the issuer's algorithms fits this key",
		},
		{"none is good", enc, nil, 0, `keys.jwks.keys[0]: its use is "enc", not "sig"`},
		{"none fits", fine, []string{"RS256"}, 0, "keys.jwks.keys[0]: none of the issuer's algorithms"},
		{"none at all", "", nil, 0, "keys.jwks: it has no keys"},
	} {
		var doc map[string]any
		if err := json.Unmarshal([]byte(`{"keys":[`+c.keys+`]}`), &doc); err != nil {
			t.Fatal(err)
		}
		issuer := &pb.Issuer{Algorithms: c.algorithms, Keys: &pb.Keys{Jwks: must[*structpb.Struct](t)(structpb.NewStruct(doc))}}
		set, err := keyset.FromIssuer(issuer, nil, keyset.Secrets{})
		if c.usable == 0 {
			if err == nil || !strings.Contains(err.Error(), c.notes) {
				t.Errorf("%s: %v, want %q", c.name, err, c.notes)
			}
			continue
		}
		if err != nil || set.Len() != c.usable || strings.Join(set.Notes(), "\n") != c.notes {
			t.Errorf("%s: %d keys, %v, notes %q, want %q", c.name, set.Len(), err, set.Notes(), c.notes)
		}
	}
}

// TestPastedSecrets: a pasted set is stored and shown, so no key of it may be secret, also
// not one beside which others are good. What was fetched serves by the others.
func TestPastedSecrets(t *testing.T) {
	const fine = `{"kty":"OKP","crv":"Ed25519","kid":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	const private = `keys.jwks.keys[1]: it holds a private key; only the public key belongs here (kid "mine") (hint: paste the public part, without d, p, q, dp, dq, qi, oth, k)`
	const secret = `it is a shared secret (kty oct), which is shown with the set`
	for key, want := range map[string]string{
		`{"kty":"OKP","kid":"mine","d":"hush"}`:                 private,
		`{"kty":"RSA","kid":"mine","p":"hush"}`:                 private,
		`{"kty":"RSA","kid":"mine","oth":[{"r":"hush"}]}`:       private,
		`{"kty":"RSA","kid":"mine","use":"enc","dq":"hush"}`:    private,
		`{"kty":"X","kid":"mine","alg":7,"d":5}`:                private,
		`{"kid":"mine","k":"hush"}`:                             private,
		`{"kty":"oct","kid":"mine","k":"hush"}`:                 `keys.jwks.keys[1]: ` + secret + ` (kid "mine") (hint: write it under keys.hmac_secrets`,
		`{"kty":"oct"}`:                                         `keys.jwks.keys[1]: ` + secret + ` (hint:`,
		`{"kty":"X"}],"kty":"RSA","d":"hush","more":[`:          `keys.jwks: it holds a private key`,
		`{"kty":"RSA","n":"AQAB","d":"","oth":[],"p":null}`:     "",
		`{"kty":"RSA","kid":"k","use":"enc","n":"AQAB"},{},"d"`: "",
	} {
		text := `{"keys":[` + fine + `,` + key + `]}`
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		_, err := keyset.FromIssuer(&pb.Issuer{Keys: &pb.Keys{Jwks: must[*structpb.Struct](t)(structpb.NewStruct(doc))}}, nil, keyset.Secrets{})
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", key, err, want)
		case err != nil && strings.Contains(err.Error(), "hush"):
			t.Errorf("it is told: %v", err)
		}
		fetched := &pb.KeySet{Sources: []*pb.KeySet_Source{{Url: "http://a/", Jwks: text}}}
		if set, err := keyset.FromIssuer(&pb.Issuer{Keys: &pb.Keys{JwksUrls: []string{"http://a/"}}}, fetched, keyset.Secrets{}); err != nil || set.Len() != 1 {
			t.Errorf("%s, fetched: %v", key, err)
		}
	}
}

func FuzzParsePEM(f *testing.F) {
	f.Add("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n")
	f.Add("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := keyset.ParsePEM(text)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys and %v", len(keys), err)
		}
	})
}

func FuzzParseJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"","alg":null,"key_ops":[ ],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"a":1,"a":2}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","key_ops":["verify"]},{},null,1]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, _, err := keyset.ParseJWKS(data, keyset.Options{})
		if err != nil {
			return
		}
		again, skipped, err := keyset.ParseJWKS(set.JWKS(), keyset.Options{})
		if err != nil || len(skipped) > 0 {
			t.Fatalf("own output is not accepted: %s: %v, %v", set.JWKS(), skipped, err)
		}
		if string(again.JWKS()) != string(set.JWKS()) {
			t.Fatalf("%s became %s", set.JWKS(), again.JWKS())
		}
	})
}
