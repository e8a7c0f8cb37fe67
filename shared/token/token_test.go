package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/golang-jwt/jwt/v5"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

const (
	header  = `{"alg":"HS256","typ":"JWT","kid":"k"}`
	payload = `{"iss":"https://idp.test","sub":"s"}`
)

func TestParse(t *testing.T) {
	u, err := token.Parse([]byte(unsigned(`{"alg":"ES384","typ":"at+JWT","kid":"k\u0031","jku":"http://evil.test/","jwk":{"kty":"oct"},"x5c":[],"cty":1}`,
		` { "iss" : "https://idp.test" , "sub":"s\u00fc\ud83d\ude00","jti":"7","aud":["a","b"],"exp":1900000000.9,"nbf":0,"iat":253402300799, "x":[ ] , "y":{} } `)))
	if err != nil {
		t.Fatal(err)
	}
	if u.Algorithm != keyset.ES384 || u.Type != "at+JWT" || u.KeyID != "k1" {
		t.Errorf("header: %v %q %q", u.Algorithm, u.Type, u.KeyID)
	}
	want := token.Registered{
		Issuer: "https://idp.test", Subject: "sü😀", ID: "7", Audience: []string{"a", "b"},
		ExpiresAt: 1900000000, NotBefore: 0, IssuedAt: 253402300799,
	}
	if !reflect.DeepEqual(u.Registered, want) {
		t.Errorf("claims: %+v", u.Registered)
	}
	u, err = token.Parse([]byte(unsigned(`{"alg":"HS256"}`, `{"aud":"one"}`)))
	if err != nil {
		t.Fatal(err)
	}
	if empty, err := token.Parse([]byte(unsigned(`{"alg":"HS256"}`, `{"aud":[]}`))); err != nil || len(empty.Registered.Audience) != 0 {
		t.Errorf("an empty aud: %v, %q", err, empty.Registered.Audience)
	}
	want = token.Registered{Audience: []string{"one"}, ExpiresAt: token.Absent, NotBefore: token.Absent, IssuedAt: token.Absent}
	if !reflect.DeepEqual(u.Registered, want) || u.KeyID != "" || u.Type != "" {
		t.Errorf("few claims: %+v", u)
	}
}

// The rows of attacks that need no key; the number is the attack's.
func TestParseRefuses(t *testing.T) {
	h := func(header string) string { return unsigned(header, payload) }
	p := func(payload string) string { return unsigned(header, payload) }
	good := unsigned(header, payload)
	parts := strings.Split(good, ".")
	nested := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	numbered := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `%c"%x":0`, ",{"[map[bool]int{true: 1}[i == 0]], i)
		}
		return b.String() + "}"
	}
	for _, c := range []struct {
		name, compact string
		want          error
	}{
		{"1 none", h(`{"alg":"none"}`), token.ErrAlgorithm},
		{"1 None", h(`{"alg":"None"}`), token.ErrAlgorithm},
		{"1 nOnE", h(`{"alg":"nOnE"}`), token.ErrAlgorithm},
		{"1 empty alg", h(`{"alg":""}`), token.ErrAlgorithm},
		{"1 no alg", h(`{"typ":"JWT"}`), token.ErrAlgorithm},
		{"1 case of alg", h(`{"alg":"hs256"}`), token.ErrAlgorithm},
		{"1 case of name", h(`{"Alg":"HS256"}`), token.ErrAlgorithm},
		{"1 alg not text", h(`{"alg":5}`), token.ErrAlgorithm},
		{"1 alg null", h(`{"alg":null}`), token.ErrAlgorithm},
		{"1 no signature", parts[0] + "." + parts[1] + ".", token.ErrSignatureLen},
		{"3 long kid", h(`{"alg":"HS256","kid":"` + strings.Repeat("k", 257) + `"}`), token.ErrKeyID},
		{"3 kid not text", h(`{"alg":"HS256","kid":1}`), token.ErrKeyID},
		{"7 alg twice", h(`{"alg":"HS256","alg":"HS256"}`), token.ErrDuplicate},
		{"7 alg twice, escaped", h(`{"alg":"HS256","\u0061lg":"none"}`), token.ErrDuplicate},
		{"7 sub twice, once null", p(`{"sub":null,"sub":"b"}`), token.ErrDuplicate},
		{"7 sub twice", p(`{"sub":"a","sub":"b"}`), token.ErrDuplicate},
		{"7 twice inside", p(`{"a":{"b":{"c":1,"c":2}}}`), token.ErrDuplicate},
		{"7 twice in a list", p(`{"a":[{"c":1,"c":2}]}`), token.ErrDuplicate},
		{"7 twice of many", p(strings.TrimSuffix(numbered(100), "}") + `,"5":1}`), token.ErrDuplicate},
		{"8 crit", h(`{"alg":"HS256","crit":["exp"]}`), token.ErrCritical},
		{"8 crit empty", h(`{"alg":"HS256","crit":[]}`), token.ErrCritical},
		{"8 crit null", h(`{"alg":"HS256","crit":null}`), token.ErrCritical},
		{"9 b64", h(`{"alg":"HS256","b64":false}`), token.ErrB64},
		{"9 b64 true", h(`{"alg":"HS256","b64":true}`), token.ErrB64},
		{"10 huge", strings.Repeat("a", token.DefaultSize+1), token.ErrSize},
		{"10 dots", strings.Repeat(".", 8000), token.ErrParts},
		{"10 no dot", parts[0], token.ErrParts},
		{"10 one dot", parts[0] + "." + parts[1], token.ErrParts},
		{"10 four parts", good + ".x", token.ErrParts},
		{"10 empty", "", token.ErrParts},
		{"11 deep", p(nested(17)), token.ErrDepth},
		{"11 deep objects", p(strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17)), token.ErrDepth},
		{"11 many members", p(numbered(1001)), token.ErrMembers},
		{"11 many elements", p(`{"a":[` + strings.Repeat("1,", 1000) + `1]}`), token.ErrMembers},
		{"12 five parts", "e30.e30.e30.e30.e30", token.ErrEncrypted},
		{"13 zip", h(`{"alg":"HS256","zip":"DEF"}`), token.ErrZip},
		{"14 padding", parts[0] + "=." + parts[1] + "." + parts[2], token.ErrBase64},
		{"14 line feed", parts[0][:4] + "\n" + parts[0][4:] + "." + parts[1] + "." + parts[2], token.ErrBase64},
		{"14 carriage return", parts[0] + "." + parts[1] + "." + parts[2] + "\r", token.ErrBase64},
		{"14 standard alphabet", parts[0] + "." + parts[1] + "." + strings.Repeat("+", 43), token.ErrBase64},
		{"14 slash", parts[0] + "." + parts[1] + "." + strings.Repeat("/", 43), token.ErrBase64},
		{"14 trailing bits", parts[0] + "." + parts[1] + "." + strings.Repeat("A", 42) + "B", token.ErrBase64},
		{"14 length of 1 mod 4", parts[0] + "." + parts[1] + "." + strings.Repeat("A", 41), token.ErrBase64},
		{"14 space", " " + good, token.ErrBase64},
		{"21 exp text", p(`{"exp":"1900000000"}`), token.ErrDate},
		{"21 exp negative", p(`{"exp":-1}`), token.ErrDate},
		{"21 exp 1e308", p(`{"exp":1e308}`), token.ErrDate},
		{"21 exp 1e999", p(`{"exp":1e999}`), token.ErrNumber},
		{"21 any number 1e999", p(`{"x":1e999}`), token.ErrNumber},
		{"21 number of 400 digits", p(`{"x":` + strings.Repeat("9", 400) + `}`), token.ErrNumber},
		{"21 exp year 10000", p(`{"exp":253402300800}`), token.ErrDate},
		{"21 exp 2^53+1", p(`{"exp":9007199254740993}`), token.ErrDate},
		{"21 nbf list", p(`{"nbf":[1]}`), token.ErrDate},
		{"21 iat bool", p(`{"iat":true}`), token.ErrDate},
		{"24 aud number", p(`{"aud":1}`), token.ErrAudience},
		{"24 aud in a list", p(`{"aud":[["a"]]}`), token.ErrAudience},
		{"24 aud mixed", p(`{"aud":["a",1]}`), token.ErrAudience},
		{"24 aud object", p(`{"aud":{"a":"b"}}`), token.ErrAudience},
		{"25 iss not text", p(`{"iss":["https://idp.test"]}`), token.ErrIssuer},
		{"25 sub not text", p(`{"sub":5}`), token.ErrSubject},
		{"25 jti not text", p(`{"jti":5}`), token.ErrTokenID},
		{"26 typ not text", h(`{"alg":"HS256","typ":1}`), token.ErrType},
		{"29 not UTF-8", p("{\"sub\":\"\xff\"}"), token.ErrUTF8},
		{"29 header not UTF-8", h("{\"alg\":\"HS256\",\"x\":\"\xc0\xaf\"}"), token.ErrUTF8},
		{"29 U+0000", p(`{"sub":"a\u0000b"}`), token.ErrText},
		{"29 U+0000 in a name", p(`{"a\u0000":1}`), token.ErrText},
		{"29 lone high surrogate", p(`{"sub":"\ud800"}`), token.ErrText},
		{"29 lone low surrogate", p(`{"sub":"\udc00"}`), token.ErrText},
		{"29 high surrogate and text", p(`{"sub":"\ud800x"}`), token.ErrText},
		{"29 two high surrogates", p(`{"sub":"\ud800\ud800"}`), token.ErrText},
		{"29 control character", p("{\"sub\":\"a\nb\"}"), token.ErrText},
		{"JSON null", h(`null`), token.ErrJSON},
		{"JSON list", p(`[]`), token.ErrJSON},
		{"JSON empty", unsigned(header, ""), token.ErrJSON},
		{"JSON after", p(`{} {}`), token.ErrJSON},
		{"JSON comma", p(`{"a":1,}`), token.ErrJSON},
		{"JSON comma first", p(`{,"a":1}`), token.ErrJSON},
		{"JSON list comma", p(`{"a":[1,]}`), token.ErrJSON},
		{"JSON no colon", p(`{"a" 1}`), token.ErrJSON},
		{"JSON bare name", p(`{a:1}`), token.ErrJSON},
		{"JSON open", p(`{"a":1`), token.ErrJSON},
		{"JSON open text", p(`{"a":"b`), token.ErrJSON},
		{"JSON NaN", p(`{"a":NaN}`), token.ErrJSON},
		{"JSON leading zero", p(`{"a":01}`), token.ErrJSON},
		{"JSON plus", p(`{"a":+1}`), token.ErrJSON},
		{"JSON point", p(`{"a":1.}`), token.ErrJSON},
		{"JSON exponent", p(`{"a":1e}`), token.ErrJSON},
		{"JSON minus", p(`{"a":-}`), token.ErrJSON},
		{"JSON escape", p(`{"a":"\x41"}`), token.ErrJSON},
		{"JSON short escape", p(`{"a":"\u00`), token.ErrJSON},
		{"JSON bad escape", p(`{"a":"\u00zz"}`), token.ErrJSON},
		{"JSON word", p(`{"a":tru}`), token.ErrJSON},
		{"JSON byte order mark", p("\ufeff{}"), token.ErrJSON},
	} {
		limit := token.DefaultSize
		if strings.HasPrefix(c.name, "11") {
			limit = token.MaxSize
		}
		if u, err := token.ParseLimit([]byte(c.compact), limit); err != c.want || u != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	for name, compact := range map[string]string{
		"11 deep enough":  p(nested(15)),
		"11 many members": p(numbered(1000)),
		"3 kid path":      h(`{"alg":"HS256","kid":"../../../../dev/null"}`),
		"7 other case":    p(`{"sub":"a","Sub":"b","exp":1,"Exp":"x"}`),
		"kid of 256":      h(`{"alg":"HS256","kid":"` + strings.Repeat("k", 256) + `"}`),
	} {
		if _, err := token.ParseLimit([]byte(compact), token.MaxSize); err != nil {
			t.Errorf("%s: refused: %v", name, err)
		}
	}
}

func TestParseLimit(t *testing.T) {
	compact := func(n int) []byte {
		b := []byte(unsigned(header, `{"x":"`+strings.Repeat("a", n)+`"}`))
		return b
	}
	if _, err := token.ParseLimit(compact(13000), token.MaxSize); err != nil {
		t.Error(err)
	}
	if _, err := token.ParseLimit(compact(13000), token.DefaultSize); err != token.ErrSize {
		t.Error(err)
	}
	if _, err := token.ParseLimit(compact(50000), 1<<20); err != token.ErrSize {
		t.Error("the limit can be set above MaxSize:", err)
	}
}

func TestVerify(t *testing.T) {
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448", "HS256", "HS384", "HS512"} {
		compact := sign(t, alg, `{"alg":"`+alg+`"}`, rich)
		if err := verify(t, compact, set(t, alg)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		for _, dot := range []int{strings.IndexByte(compact, '.'), strings.LastIndexByte(compact, '.')} {
			spoiled := []byte(compact)
			spoiled[dot+5] = 'A' + ('B'-'A')*btoi(spoiled[dot+5] == 'A')
			u, err := token.Parse(spoiled)
			if err != nil {
				continue // the payload is not JSON any more
			}
			if _, err = u.Verify(set(t, alg), 0); err != token.ErrSignature {
				t.Errorf("%s: a changed token: %v", alg, err)
			}
		}
	}
}

// Of the names of Edwards curves: EdDSA is both (RFC 8037 section 3.1), the others are one
// each (RFC 9864 section 2.2).
func TestVerifyEdwards(t *testing.T) {
	for _, c := range []struct {
		name, signed, alg, keys string
		want                    error
	}{
		{"RFC 8037, Ed25519", "Ed25519", "EdDSA", "Ed25519", nil},
		{"RFC 8037, Ed448", "Ed448", "EdDSA", "Ed448", nil},
		{"RFC 9864, Ed25519", "Ed25519", "Ed25519", "Ed25519", nil},
		{"RFC 9864, Ed448", "Ed448", "Ed448", "Ed448", nil},
		{"RFC 9864, Ed25519 with the other's key", "Ed448", "Ed25519", "Ed448", token.ErrNoKey},
		{"RFC 9864, Ed448 with the other's key", "Ed25519", "Ed448", "Ed25519", token.ErrNoKey},
		{"RFC 8037, a signature of the other length", "Ed25519", "EdDSA", "Ed448", token.ErrSignatureLen},
		{"RFC 8037, no key of either", "Ed25519", "EdDSA", "ES256", token.ErrNoKey},
		{"RFC 8812, no key", "ES256K", "ES256K", "ES256", token.ErrNoKey},
		{"RFC 8812, its key for another algorithm", "ES256K", "ES256", "ES256K", token.ErrNoKey},
	} {
		if err := verify(t, sign(t, c.signed, `{"alg":"`+c.alg+`"}`, rich), set(t, c.keys)); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, alg := range []string{"ed25519", "ED25519", "Ed25519ph", "ed448", "Ed448ph", "ES256k", "ES512K"} {
		if _, err := token.Parse([]byte(sign(t, "EdDSA", `{"alg":"`+alg+`"}`, rich))); err != token.ErrAlgorithm {
			t.Errorf("%s: %v", alg, err)
		}
	}
	for _, c := range []struct {
		allowed []string
		alg     string
		want    error
	}{
		{[]string{"EdDSA"}, "Ed448", nil}, {[]string{"Ed448"}, "EdDSA", nil}, {[]string{"Ed448", "Ed25519"}, "Ed448", nil},
	} {
		keys, err := keyset.FromIssuer(&pb.Issuer{Algorithms: c.allowed, Keys: &pb.Keys{Pem: []string{publicPEM(t, signer("Ed448"))}}}, nil, keyset.Secrets{})
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(t, sign(t, "Ed448", `{"alg":"`+c.alg+`"}`, rich), keys); err != c.want {
			t.Errorf("%s where %v is allowed: %v, want %v", c.alg, c.allowed, err, c.want)
		}
	}
	if _, err := keyset.FromIssuer(&pb.Issuer{Algorithms: []string{"Ed25519"}, Keys: &pb.Keys{Pem: []string{publicPEM(t, signer("Ed448"))}}}, nil, keyset.Secrets{}); err == nil {
		t.Error("an Ed448 key where only Ed25519 is allowed")
	}
}

func btoi(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func verify(t *testing.T, compact string, keys *keyset.Set) error {
	t.Helper()
	u, err := token.Parse([]byte(compact))
	if err != nil {
		t.Fatalf("%s: %v", compact, err)
	}
	_, err = u.Verify(keys, 1_800_000_000)
	return err
}

// The rows of attacks on signatures.
func TestVerifyRefuses(t *testing.T) {
	rsaPEM := publicPEM(t, signer("RS256"))
	hmacWith := func(secret string) string {
		input := enc(`{"alg":"HS256"}`) + "." + enc(payload)
		sig, err := jwt.SigningMethodHS256.Sign(input, []byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + base64.RawURLEncoding.EncodeToString(sig)
	}
	withSig := func(alg string, sig []byte) string {
		return enc(`{"alg":"`+alg+`"}`) + "." + enc(payload) + "." + base64.RawURLEncoding.EncodeToString(sig)
	}
	es := sign(t, "ES256", `{"alg":"ES256"}`, payload)
	raw, err := base64.RawURLEncoding.DecodeString(es[strings.LastIndexByte(es, '.')+1:])
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
	if err != nil {
		t.Fatal(err)
	}
	named := func(alg, kid string) *keyset.Set {
		key := *set(t, alg).Keys()[0]
		key.ID = kid
		return keyset.NewSet([]*keyset.Key{&key})
	}
	for _, c := range []struct {
		name, compact string
		keys          *keyset.Set
		want          error
	}{
		{"2 public key as HMAC secret", hmacWith(rsaPEM), set(t, "RS256"), token.ErrNoKey},
		{"2 RSA key for ES", sign(t, "ES256", `{"alg":"ES256"}`, payload), set(t, "RS256"), token.ErrNoKey},
		{"2 secret for RS", sign(t, "RS256", `{"alg":"RS256"}`, payload), set(t, "HS256"), token.ErrNoKey},
		{"2 header says RS256, signed PS256", sign(t, "PS256", `{"alg":"RS256"}`, payload), set(t, "RS256"), token.ErrSignature},
		{"2 header says RS512, signed RS256", sign(t, "RS256", `{"alg":"RS512"}`, payload), set(t, "RS256"), token.ErrSignature},
		{"4 key in the header", sign(t, "HS256", `{"alg":"HS256","jwk":{"kty":"oct","k":"`+enc(secret)+`"}}`, payload), set(t, "RS256"), token.ErrNoKey},
		{"5 zero signature", withSig("ES256", make([]byte, 64)), set(t, "ES256"), token.ErrSignature},
		{"5 zero RSA signature", withSig("RS256", make([]byte, 256)), set(t, "RS256"), token.ErrSignature},
		{"6 DER", withSig("ES256", der), set(t, "ES256"), token.ErrSignatureLen},
		{"6 short", withSig("ES256", raw[:63]), set(t, "ES256"), token.ErrSignatureLen},
		{"6 long", withSig("ES256", append(bytes.Clone(raw), 0)), set(t, "ES256"), token.ErrSignatureLen},
		{"6 leading zero", withSig("ES256", append([]byte{0}, raw...)), set(t, "ES256"), token.ErrSignatureLen},
		{"6 one byte RSA", withSig("RS256", []byte{1}), set(t, "RS256"), token.ErrSignatureLen},
		{"6 one byte Ed", withSig("EdDSA", []byte{1}), set(t, "EdDSA"), token.ErrSignatureLen},
		{"6 one byte Ed448", withSig("Ed448", []byte{1}), set(t, "Ed448"), token.ErrSignatureLen},
		{"6 short ES256K", withSig("ES256K", make([]byte, 63)), set(t, "ES256K"), token.ErrSignatureLen},
		{"5 zero ES256K", withSig("ES256K", make([]byte, 64)), set(t, "ES256K"), token.ErrSignature},
		{"5 zero Ed448", withSig("Ed448", make([]byte, 114)), set(t, "Ed448"), token.ErrSignature},
		{"6 truncated HMAC", withSig("HS256", []byte{1}), set(t, "HS256"), token.ErrSignatureLen},
		{"20 P-384 for ES256", sign(t, "ES384", `{"alg":"ES256"}`, payload), set(t, "ES384"), token.ErrNoKey},
		{"20 ES384 with P-256", sign(t, "ES256", `{"alg":"ES384"}`, payload), set(t, "ES256"), token.ErrNoKey},
		{"28 another kid", sign(t, "RS256", `{"alg":"RS256","kid":"b"}`, payload), named("RS256", "a"), token.ErrNoKey},
		{"28 no keys", es, keyset.NewSet(nil), token.ErrNoKey},
	} {
		if err := verify(t, c.compact, c.keys); err != c.want {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if err := verify(t, sign(t, "RS256", `{"alg":"RS256","kid":"a"}`, payload), named("RS256", "a")); err != nil {
		t.Errorf("the kid's own key: %v", err)
	}
	if err := verify(t, sign(t, "RS256", `{"alg":"RS256"}`, payload), named("RS256", "a")); err != nil {
		t.Errorf("without a kid: %v", err)
	}
	if err := verify(t, sign(t, "RS256", `{"alg":"RS256","kid":"zzz"}`, payload), set(t, "ES256", "RS256")); err != nil {
		t.Errorf("a kid, and a key without one: %v", err)
	}
}

func TestVerifyKeyDates(t *testing.T) {
	doc := set(t, "RS256").JWKS()
	keys, _, err := keyset.ParseJWKS(doc, keyset.Options{UsableUntil: 1000})
	if err != nil {
		t.Fatal(err)
	}
	u, err := token.Parse([]byte(sign(t, "RS256", `{"alg":"RS256"}`, payload)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Verify(keys, 1000); err != nil {
		t.Error(err)
	}
	if _, err := u.Verify(keys, 1001); err != token.ErrKeyDates {
		t.Error("a key set that is too old is used:", err)
	}
}

// Of many keys that fit, each is tried up to the bound, and whoever asks why is told of it.
func TestVerifyBound(t *testing.T) {
	pairs := make([]*ecdsa.PrivateKey, keyset.MaxCandidates+1)
	issuer := &pb.Issuer{Keys: &pb.Keys{}}
	for i := range pairs {
		var err error
		if pairs[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		issuer.Keys.Pem = append(issuer.Keys.Pem, publicPEM(t, pairs[i]))
	}
	keys, err := keyset.FromIssuer(issuer, nil, keyset.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]error{0: nil, 10: nil, keyset.MaxCandidates - 1: nil, keyset.MaxCandidates: token.ErrUntried} {
		input := enc(`{"alg":"ES256"}`) + "." + enc(payload)
		sig, err := jwt.SigningMethodES256.Sign(input, pairs[i])
		if err != nil {
			t.Fatal(err)
		}
		u, err := token.Parse([]byte(input + "." + base64.RawURLEncoding.EncodeToString(sig)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Verify(keys, 1); err != want {
			t.Errorf("key %d: %v, want %v", i, err, want)
		}
	}
	if bound := fmt.Sprintf("first %d keys", keyset.MaxCandidates); !strings.Contains(token.ErrUntried.Error(), bound) {
		t.Errorf("%q does not tell the bound", token.ErrUntried)
	}
}

// RFC 7518 section 3.5: the salt has the length of the hash.
func TestPSSSaltLength(t *testing.T) {
	key, ok := signer("PS").(*rsa.PrivateKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	keys := set(t, "PS")
	for alg, hash := range map[string]crypto.Hash{"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512} {
		input := enc(`{"alg":"`+alg+`"}`) + "." + enc(payload)
		h := hash.New()
		h.Write([]byte(input))
		longest := key.Size() - 2 - hash.Size() // RFC 8017 section 9.1.1
		for _, salt := range []int{0, 1, 20, 32, 48, 64, hash.Size() - 1, hash.Size() + 1, longest} {
			length := salt
			if salt == 0 {
				length = rsa.PSSSaltLengthAuto // which signs with the longest
			}
			sig, err := rsa.SignPSS(rand.Reader, key, hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: length})
			if err != nil {
				t.Fatal(err)
			}
			u, err := token.Parse([]byte(input + "." + base64.RawURLEncoding.EncodeToString(sig)))
			if err != nil {
				t.Fatal(err)
			}
			want := error(token.ErrSignature)
			if salt == hash.Size() {
				want = nil
			}
			if _, err := u.Verify(keys, 1); err != want {
				t.Errorf("%s, salt of %d bytes: %v, want %v", alg, salt, err, want)
			}
		}
	}
}

// RFC 8812 has no rule against (r, n-s), so such a token has a twin, as with the other curves.
func TestTwinOfES256K(t *testing.T) {
	compact := sign(t, "ES256K", `{"alg":"ES256K"}`, payload)
	dot := strings.LastIndexByte(compact, '.')
	sig, err := base64.RawURLEncoding.DecodeString(compact[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	new(big.Int).Sub(secp256k1.Params().N, new(big.Int).SetBytes(sig[32:])).FillBytes(sig[32:])
	mirrored := compact[:dot+1] + base64.RawURLEncoding.EncodeToString(sig)
	if err := verify(t, mirrored, set(t, "ES256K")); err != nil {
		t.Errorf("mirrored: %v", err)
	}
	u, err := token.Parse([]byte(compact))
	if err != nil {
		t.Fatal(err)
	}
	if sum, ok := u.Twin(); !ok || sum != sha256.Sum256([]byte(mirrored)) {
		t.Errorf("its twin is not known: %v", ok)
	}
}
