package conformance_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// attack is something that must not come through. Nothing of it may reach the
// upstream, unless a probe says 200: then what arrives must be harmless.
type attack struct {
	id, what string
	setup    string
	probes   []probe
	raw      []rawProbe
	check    func(t *testing.T, n *node)
}

// rawProbe is a request to the byte. GOOD in it is a good token for the Api /a.
type rawProbe struct {
	say, request string
	status       int
	reason       string
}

func TestAttacks(t *testing.T) {
	rs := key{alg: "RS256", kid: "k1", private: pair(t, "rsa")}
	common := issuer("acme", `{jwks: `+jwks(t, jwk(t, "rsa", "k1"), jwk(t, "p256", "k2"))+`}`) + simple("a", "acme") + simple("free", "acme") + plan("free-open", "KEYLESS")
	attacks := attacksOnSignatures(t, rs)
	attacks = append(attacks, attacksOnEncoding(t, rs)...)
	attacks = append(attacks, attacksOnClaims(t, rs)...)
	attacks = append(attacks, attacksOnRequests(t, rs)...)
	attacks = append(attacks, attackOnBinding(t, rs))
	resources := []string{common}
	for _, a := range attacks {
		resources = append(resources, a.setup)
	}
	n := start(t, resources...)
	good := rs.token("acme", nil)
	whole := t
	for _, a := range attacks {
		t.Run(a.id, func(t *testing.T) {
			n.t = t
			defer func() { n.t = whole }()
			for _, p := range a.probes {
				n.probe(p)
			}
			for _, r := range a.raw {
				n.rawProbe(r, good)
			}
			if a.check != nil {
				a.check(t, n)
			}
			// The node still serves who may call.
			n.probe(pass("a good token", "a-jwt", "/a", bearer(good)))
		})
	}
	hold(t, "../../docs/attacks.md", "attacks", describe(attacks))
}

func describe(attacks []attack) string {
	attacks = slices.Clone(attacks)
	slices.SortStableFunc(attacks, func(a, b attack) int { return cmp.Compare(number(a.id), number(b.id)) })
	var b strings.Builder
	b.WriteString("| no. | what | tried, and how it is answered |\n|---|---|---|\n")
	for _, a := range attacks {
		count := map[int]int{}
		for _, p := range a.probes {
			count[p.status]++
		}
		for _, r := range a.raw {
			count[r.status]++
		}
		var answers []string
		for _, status := range slices.Sorted(maps.Keys(count)) {
			answers = append(answers, fmt.Sprintf("%d: %d", status, count[status]))
		}
		if a.check != nil {
			answers = append(answers, "and more in code")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", a.id, cell(a.what), strings.Join(answers, ", "))
	}
	return b.String()
}

func (n *node) rawProbe(r rawProbe, good string) {
	n.t.Helper()
	got := n.raw(strings.ReplaceAll(r.request, "GOOD", good))
	if got.status != r.status || r.reason != "" && got.reason() != r.reason {
		n.t.Errorf("%s: got %d %s, want %d %s\n%.300s", r.say, got.status, got.reason(), r.status, r.reason, got.body)
	}
	if got.reached != 0 && r.status != http.StatusOK {
		n.t.Errorf("%s: the upstream was called %d times", r.say, got.reached)
	}
	if r.status == http.StatusOK && (got.reached != 1 || strings.Contains(got.body, "HTTP/1.1 ")) {
		n.t.Errorf("%s: the upstream was called %d times for one request", r.say, got.reached)
	}
	if c := got.header.Get("Www-Authenticate"); r.status == http.StatusUnauthorized && !strings.HasPrefix(c, "Bearer realm=") {
		n.t.Errorf("%s: challenge %q", r.say, c)
	}
}

// invalid is a token that must be told nothing but invalid_token.
func invalid(say, token string) probe { return deny(say, 401, "invalid_token", "/a", bearer(token)) }

func attacksOnSignatures(t *testing.T, rs key) []attack {
	t.Helper()
	payload := mustJSON(claims("acme", nil))
	body := b64([]byte(payload))
	none := attack{id: "1", what: "alg none in all spellings, with and without a signature"}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "rs256", "RS256 "} {
		header := b64([]byte(mustJSON(object{"alg": alg, "kid": "k1"})))
		none.probes = append(none.probes, invalid("["+alg+"]", header+"."+body+"."), invalid("["+alg+"] signed", header+"."+body+"."+b64(rs.signature(header+"."+body))))
	}
	none.probes = append(none.probes, invalid("no alg", rs.sign(`{"kid":"k1"}`, payload)), invalid("the signature left out", strings.Join(strings.Split(rs.token("acme", nil), ".")[:2], ".")+"."))

	der, err := x509.MarshalPKIXPublicKey(pair(t, "rsa").Public())
	if err != nil {
		t.Fatal(err)
	}
	confusion := attack{id: "2", what: "the public key as an HMAC secret"}
	for say, text := range map[string]string{
		"PEM": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "DER": string(der), "base64": spki(t, "rsa"),
		"trimmed PEM": strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))),
	} {
		confusion.probes = append(confusion.probes, invalid(say, key{alg: "HS256", kid: "k1", secret: text}.token("acme", nil)))
	}

	kids := attack{id: "3", what: "kid as a path, a query, a command, too long or no text"}
	for _, kid := range []any{"../../../../dev/null", "k1' UNION SELECT 'x", "k1;id", "k1\\u0000", strings.Repeat("k", 300), 1, []string{"k1"}, object{}, false} {
		kids.probes = append(kids.probes, invalid(fmt.Sprintf("%.20v", kid), rs.sign(rs.header(object{"kid": kid}), payload)))
	}
	kids.probes = append(kids.probes, pass("null, which is none", "a-jwt", "/a", bearer(rs.sign(rs.header(object{"kid": nil}), payload))))
	kids.probes = append(kids.probes, invalid("a path to nothing, and its empty secret", key{alg: "HS256"}.sign(mustJSON(object{"alg": "HS256", "kid": "../../dev/null"}), payload)))

	mallory := key{alg: "RS256", kid: "k1", private: pair(t, "rsa#2")}
	var called atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		called.Add(1)
		fmt.Fprint(w, jwks(t, jwk(t, "rsa#2", "k1")))
	}))
	t.Cleanup(trap.Close)
	embedded := attack{id: "4", what: "a key that the token brings along or points to: jwk, jku, x5c, x5u", probes: []probe{
		invalid("jwk", mallory.sign(mallory.header(object{"jwk": jwk(t, "rsa#2", "k1")}), payload)),
		invalid("jwk, no kid", mallory.sign(mallory.header(object{"jwk": jwk(t, "rsa#2", ""), "kid": absent{}}), payload)),
		invalid("jku", mallory.sign(mallory.header(object{"jku": trap.URL}), payload)),
		invalid("x5u", mallory.sign(mallory.header(object{"x5u": trap.URL}), payload)),
		invalid("x5c", mallory.sign(mallory.header(object{"x5c": []string{certificate(t, "rsa#2", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))}}), payload)),
	}, check: func(t *testing.T, _ *node) {
		t.Helper()
		if called.Load() != 0 {
			t.Error("the address in the token was called")
		}
	}}

	es := key{alg: "ES256", kid: "k2", private: pair(t, "p256")}
	signed := b64([]byte(es.header(nil))) + "." + body
	zero := signed + "." + b64(make([]byte, 64))
	genuine := es.signature(signed)
	r, s := new(big.Int).SetBytes(genuine[:32]), new(big.Int).SetBytes(genuine[32:])
	inDER, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	order := pair(t, "p256").(*ecdsa.PrivateKey).Params().N
	return []attack{
		none, confusion, kids, embedded,
		{id: "5", what: "ECDSA signatures of zero, or out of range", probes: []probe{
			pass("the genuine one", "a-jwt", "/a", bearer(signed+"."+b64(genuine))),
			invalid("r = s = 0", zero),
			invalid("r = s = n", signed+"."+b64(append(order.FillBytes(make([]byte, 32)), order.FillBytes(make([]byte, 32))...))),
			invalid("r = 0", signed+"."+b64(append(make([]byte, 32), genuine[32:]...))),
		}},
		{id: "6", what: "ECDSA signatures in DER or of a wrong length: 401, never 500", probes: []probe{
			invalid("DER", signed+"."+b64(inDER)),
			invalid("63 bytes", signed+"."+b64(genuine[1:])),
			invalid("65 bytes", signed+"."+b64(append([]byte{0}, genuine...))),
			invalid("96 bytes", signed+"."+b64(append(append(make([]byte, 16), genuine[:32]...), append(make([]byte, 16), genuine[32:]...)...))),
			invalid("empty", signed+"."),
			invalid("RSA, too short", strings.Join(strings.Split(rs.token("acme", nil), ".")[:2], ".")+"."+b64(make([]byte, 255))),
		}},
		mirroredSignatures(t, payload),
		{id: "19", what: "weak keys", check: func(t *testing.T, _ *node) {
			t.Helper()
			for _, keys := range []string{
				"{pem: [" + spki(t, "rsa-1024") + "]}", "{hmac_secrets: [{value: short}]}", "{jwks: " + jwks(t, jwk(t, "rsa-1024", "x")) + "}",
				"{jwks: " + jwks(t, object(jwk(t, "rsa", "x")).with("e", "AQ")) + "}", `{jwks: {keys: [{kty: oct, k: ` + b64([]byte(secret)) + `}]}}`,
			} {
				if fault := refused(t, issuer("weak", keys), simple("x", "weak")); !strings.Contains(fault, "keys.") {
					t.Errorf("%.60s: %s", keys, fault)
				}
			}
		}},
		{id: "20", what: "a curve that is not the algorithm's, a point that is not on its curve", setup: issuer("curves", "{pem: ["+spki(t, "p384")+"]}") + simple("a20", "curves"), probes: []probe{
			pass("ES384 on P-384", "a20-jwt", "/a20", bearer(key{alg: "ES384", private: pair(t, "p384")}.token("curves", nil))),
			deny("ES256 on P-384", 401, "invalid_token", "/a20", bearer(cut(key{alg: "ES256", private: pair(t, "p384")}.token("curves", nil), 64))),
			deny("ES256 on P-384, its whole signature", 401, "invalid_token", "/a20", bearer(key{alg: "ES256", private: pair(t, "p384")}.token("curves", nil))),
			deny("ES512 on P-384", 401, "invalid_token", "/a20", bearer(key{alg: "ES512", private: pair(t, "p384")}.token("curves", nil))),
		}, check: func(t *testing.T, _ *node) {
			t.Helper()
			off := object(jwk(t, "p256", "x")).with("y", b64(sha256.New().Sum(nil)))
			if fault := refused(t, issuer("weak", "{jwks: "+jwks(t, off)+"}"), simple("x", "weak")); !strings.Contains(fault, "keys.") {
				t.Errorf("a point that is not on its curve: %s", fault)
			}
		}},
		{id: "28", what: "a token of one issuer with a key of another", setup: issuer("tenant", `{jwks: `+jwks(t, jwk(t, "rsa#2", "kt"))+`}`) +
			api("a28") + plan("a28-jwt", "JWT", "jwt: {issuers: [acme, tenant]}") + subscribe("acme-app", "a28-jwt") + subscribe("tenant-app", "a28-jwt"), probes: []probe{
			pass("its own", "a28-jwt", "/a28", bearer(key{alg: "RS256", kid: "kt", private: pair(t, "rsa#2")}.token("tenant", nil))),
			deny("by kid", 401, "invalid_token", "/a28", bearer(key{alg: "RS256", kid: "kt", private: pair(t, "rsa#2")}.token("acme", nil))),
			deny("without kid", 401, "invalid_token", "/a28", bearer(key{alg: "RS256", private: pair(t, "rsa#2")}.token("acme", nil))),
			deny("the other way round", 401, "invalid_token", "/a28", bearer(rs.token("tenant", nil))),
		}},
		{id: "45", what: "well-known secrets, and a secret that is not there", setup: issuer("hs", `{hmac_secrets: [{value: "`+secret+`"}, {env: PORTCULLIS_TEST_NO_SUCH_SECRET_HERE}]}`) + simple("a45", "hs") +
			issuer("hsgood", `{hmac_secrets: [{value: "`+secret+`"}]}`) + simple("a45b", "hsgood"), check: func(_ *testing.T, n *node) {
			for _, text := range []string{"", "secret", "changeme", "PORTCULLIS_TEST_NO_SUCH_SECRET_HERE", "myJWT4Gr4v1t33_S3cr3t"} {
				n.probe(deny(text, 503, "not_in_force", "/a45", bearer(key{alg: "HS256", secret: text}.token("hs", nil))))
				n.probe(deny(text, 401, "invalid_token", "/a45b", bearer(key{alg: "HS256", secret: text}.token("hsgood", nil))))
			}
		}},
	}
}

// mirroredSignatures are tokens that were revoked by their hash, as they were issued
// and with the other one of the two signatures that ECDSA has for each.
func mirroredSignatures(t *testing.T, payload string) attack {
	t.Helper()
	a := attack{id: "51", what: "a token that is revoked by hash, with its ECDSA signature mirrored"}
	var keys []map[string]any
	for i, alg := range []string{"ES256", "ES384", "ES512"} {
		name := []string{"p256", "p384", "p521"}[i]
		keys = append(keys, object(jwk(t, name, alg)))
		es := key{alg: alg, kid: alg, private: pair(t, name)}
		signed := b64([]byte(es.header(nil))) + "." + b64([]byte(strings.ReplaceAll(payload, "acme", "mirror")))
		sig := es.signature(signed)
		issued, half := signed+"."+b64(sig), sig[len(sig)/2:]
		new(big.Int).Sub(pair(t, name).(*ecdsa.PrivateKey).Params().N, new(big.Int).SetBytes(half)).FillBytes(half)
		a.setup += "---\nkind: Revocation\nid: mirror-" + name + "\ntoken_sha256: " + sha(issued) + "\n"
		a.probes = append(a.probes, deny(alg, 401, "token_revoked", "/mirror", bearer(issued)), deny(alg+", mirrored", 401, "token_revoked", "/mirror", bearer(signed+"."+b64(sig))))
	}
	a.setup += issuer("mirror", "{jwks: "+jwks(t, keys...)+"}") + simple("mirror", "mirror")
	return a
}

func (o object) with(name string, value any) map[string]any { return object{name: value}.over(o) }

// cut shortens a token's signature to so many bytes.
func cut(token string, length int) string {
	i := strings.LastIndex(token, ".") + 1
	signature, _ := base64.RawURLEncoding.DecodeString(token[i:])
	return token[:i] + b64(signature[:length])
}

func attacksOnEncoding(t *testing.T, rs key) []attack {
	t.Helper()
	payload := mustJSON(claims("acme", nil))
	good := rs.token("acme", nil)
	inside := strings.TrimSuffix(payload, "}")
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	many := `"many":[` + strings.TrimSuffix(strings.Repeat("1,", 1500), ",") + "]"
	return []attack{
		{id: "7", what: "a JSON member twice, and names that only look like it", probes: []probe{
			invalid("alg twice", rs.sign(`{"alg":"none","alg":"RS256","kid":"k1"}`, payload)),
			invalid("kid twice", rs.sign(`{"alg":"RS256","kid":"k1","kid":"k1"}`, payload)),
			invalid("sub twice", rs.sign(rs.header(nil), inside+`,"sub":"bob"}`)),
			invalid("twice, one escaped", rs.sign(rs.header(nil), inside+`,"s\u0075b":"bob"}`)),
			invalid("twice, inside", rs.sign(rs.header(nil), inside+`,"o":{"a":1,"a":2}}`)),
			invalid("Exp is not exp", rs.token("acme", object{"exp": absent{}, "Exp": 9999999999})),
			invalid("ISS is not iss", rs.token("acme", object{"iss": absent{}, "ISS": "https://acme.test"})),
			invalid("Alg is not alg", rs.sign(`{"Alg":"RS256","kid":"k1"}`, payload)),
			pass("ſub is not sub", "a-jwt", "/a", bearer(rs.sign(rs.header(nil), inside+`,"ſub":"bob"}`))),
		}},
		{id: "8", what: "crit", probes: []probe{
			invalid("unknown", rs.sign(rs.header(object{"crit": []string{"x"}, "x": 1}), payload)),
			invalid("empty", rs.sign(rs.header(object{"crit": []string{}}), payload)),
			invalid("no list", rs.sign(rs.header(object{"crit": "exp"}), payload)),
			invalid("null", rs.sign(rs.header(object{"crit": nil}), payload)),
			invalid("exp", rs.sign(rs.header(object{"crit": []string{"exp"}, "exp": 1}), payload)),
		}},
		{id: "9", what: "an unencoded payload (b64 false)", probes: []probe{
			invalid("with crit", rs.sign(rs.header(object{"b64": false, "crit": []string{"b64"}}), payload)),
			invalid("without", rs.sign(rs.header(object{"b64": false}), payload)),
			invalid("true", rs.sign(rs.header(object{"b64": true}), payload)),
		}},
		{id: "10", what: "huge tokens, and tokens of dots", probes: []probe{
			pass("150 groups", "a-jwt", "/a", bearer(rs.token("acme", object{"groups": slices.Repeat([]string{"6f1c9a52-3b0e-4c61-9d7e-0f2a7b8c1d3e"}, 150)}))),
			deny("17 KiB, else good", 431, "token_too_long", "/a", bearer(rs.token("acme", object{"pad": strings.Repeat("x", 12<<10)}))).alone(),
			invalid("dots", strings.Repeat(".", 8000)),
			invalid("dots around", "."+good+"."),
			deny("30 KiB", 431, "", "/a", bearer(strings.Repeat("a", 30<<10))).alone(),
		}},
		{id: "11", what: "deep and wide JSON", probes: []probe{
			invalid("deep claims", rs.sign(rs.header(nil), inside+`,"deep":`+deep+"}")),
			invalid("deep header", rs.sign(`{"alg":"RS256","kid":"k1","x":`+deep+"}", payload)),
			invalid("wide", rs.sign(rs.header(nil), inside+","+many+"}")),
			invalid("lists in lists", rs.sign(rs.header(nil), inside+`,"l":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)+"}")),
		}},
		{id: "12", what: "encrypted tokens", probes: []probe{
			invalid("PBES2 with a count", b64([]byte(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA"}`))+".AA.AA.AA.AA"),
			invalid("dir", b64([]byte(`{"alg":"dir","enc":"A128GCM"}`))+"..AA.AA.AA"),
			invalid("dir in three parts", b64([]byte(`{"alg":"dir","enc":"A128GCM"}`))+".AA.AA"),
		}},
		{id: "13", what: "zip in a signed token, a token in a token", probes: []probe{
			invalid("zip", rs.sign(rs.header(object{"zip": "DEF"}), payload)),
			invalid("a token as payload", rs.sign(rs.header(object{"cty": "JWT"}), good)),
		}},
		{id: "14", what: "the same token in other letters", probes: append(otherLetters(good), invalid("trailing bits of the payload", oddBits(t, rs)))},
		{id: "29", what: "text that is no text: not UTF-8, U+0000, half a pair", probes: []probe{
			invalid("not UTF-8", rs.sign(rs.header(nil), inside+",\"x\":\"\xff\"}")),
			invalid("overlong", rs.sign(rs.header(nil), inside+",\"x\":\"\xc0\xaf\"}")),
			invalid("U+0000", rs.sign(rs.header(nil), inside+`,"x":"a\u0000b"}`)),
			invalid("half a pair", rs.sign(rs.header(nil), inside+`,"x":"\ud800"}`)),
			invalid("half a pair in a name", rs.sign(rs.header(nil), inside+`,"\udc00":1}`)),
			invalid("a control character", rs.sign(rs.header(nil), inside+",\"x\":\"a\tb\"}")),
			invalid("the kid", rs.sign("{\"alg\":\"RS256\",\"kid\":\"k1\xff\"}", payload)),
			invalid("null header", rs.sign("null", payload)),
			invalid("list payload", rs.sign(rs.header(nil), "["+payload+"]")),
			invalid("more behind", rs.sign(rs.header(nil), payload+" {}")),
		}},
	}
}

// alone marks a probe of which no explanation can be asked.
func (p probe) alone() probe {
	p.unexplained = true
	return p
}

// otherLetters are other texts that a lax decoder would take for the token.
func otherLetters(good string) []probe {
	parts := strings.Split(good, ".")
	last := parts[2][len(parts[2])-1]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	at := strings.IndexByte(alphabet, last)
	var probes []probe
	// 256 bytes leave four bits over in the last character.
	for i := range 3 {
		if c := alphabet[at&^15|(at+i+1)&15]; c != last {
			probes = append(probes, invalid("trailing bits", good[:len(good)-1]+string(c)))
		}
	}
	probes = append(probes,
		invalid("padding", good+"=="), invalid("padding inside", parts[0]+"="+"."+parts[1]+"."+parts[2]).reading(400, "invalid_request"),
		invalid("a blank", parts[0]+". "+parts[1]+"."+parts[2]).reading(400, "invalid_request"),
		invalid("standard alphabet", strings.NewReplacer("-", "+", "_", "/").Replace(good)),
	)
	return probes
}

func (p probe) reading(status int, reason string) probe {
	p.status, p.reason = status, reason
	return p
}

// oddBits makes a token whose payload has bits behind its last byte; the signature is over exactly this text.
func oddBits(t *testing.T, rs key) string {
	t.Helper()
	for i := range 4 {
		payload := mustJSON(claims("acme", object{"pad": strings.Repeat("x", i)}))
		if len(payload)%3 != 1 {
			continue
		}
		text := b64([]byte(payload))
		signed := b64([]byte(rs.header(nil))) + "." + text[:len(text)-1] + string(text[len(text)-1]+1)
		return signed + "." + b64(rs.signature(signed))
	}
	t.Fatal("no payload of that length")
	return ""
}

func attacksOnClaims(t *testing.T, rs key) []attack {
	t.Helper()
	good := rs.token("acme", nil)
	now := time.Now().Unix()
	raw := func(say, member, value string) probe {
		payload := mustJSON(claims("acme", object{member: absent{}}))
		return invalid(say, rs.sign(rs.header(nil), strings.TrimSuffix(payload, "}")+`,"`+member+`":`+value+"}"))
	}
	var called atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	t.Cleanup(trap.Close)
	dates := attack{id: "21", what: "exp that is no date"}
	for _, value := range []string{`"9999999999"`, "1e308", "1.5e9", "-0.0", "-1", "9007199254740993", "253402300800", "99999999999999999999", "true", "null", "[9999999999]", "{}", "0", "01", "9.9e12", "-1e9", "1e999", "\"1.9e9\""} {
		p := raw(value, "exp", value)
		if value == "0" || value == "1.5e9" || value == "-0.0" {
			p.reason = "token_expired"
		}
		dates.probes = append(dates.probes, p)
	}
	audiences := attack{id: "24", what: "aud that is no audience", setup: issuer("aud", "{pem: ["+spki(t, "rsa")+"]}", "audiences: [orders]") + simple("a24", "aud")}
	for _, value := range []any{[]string{}, []any{1}, []any{"orders", 1}, object{"orders": 1}, 1, nil, "orders ", "Orders", "orders,x", []any{[]string{"orders"}}, absent{}} {
		audiences.probes = append(audiences.probes, deny(fmt.Sprint(value), 401, "invalid_token", "/a24", bearer(rs.token("aud", object{"aud": value}))))
	}
	audiences.probes = append(audiences.probes, pass("good", "a24-jwt", "/a24", bearer(rs.token("aud", object{"aud": "orders"}))))
	types := attack{id: "26", what: "a token of another kind", setup: issuer("typed", "{pem: ["+spki(t, "rsa")+"]}", "token_types: [at+jwt]") + simple("a26", "typed") +
		issuer("lenient", "{pem: ["+spki(t, "rsa")+"]}", "accept: [ID_TOKEN]") + simple("a26i", "lenient") +
		issuer("strict", "{pem: ["+spki(t, "rsa")+"]}", "refuse_id_token_claims: true") + simple("a26m", "strict")}
	for _, typ := range []string{"dpop+jwt", "logout+jwt", "secevent+jwt", "application/logout+jwt", "LOGOUT+JWT", "token-introspection+jwt"} {
		types.probes = append(types.probes, invalid(typ, rs.sign(rs.header(object{"typ": typ}), mustJSON(claims("acme", nil)))))
	}
	types.probes = append(types.probes,
		invalid("an identity token of Keycloak", rs.token("acme", object{"typ": "ID"})), invalid("its refresh token", rs.token("acme", object{"typ": "Refresh"})),
		invalid("an identity token of Amazon Cognito", rs.token("acme", object{"token_use": "id"})),
		pass("where the issuer accepts it", "a26i-jwt", "/a26i", bearer(rs.token("lenient", object{"token_use": "id", "nonce": "x"}))),
		deny("by its claims, where the issuer asks for it", 401, "invalid_token", "/a26m", bearer(rs.token("strict", object{"at_hash": "x"}))),
		invalid("a logout token without typ", rs.token("acme", object{"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}}})),
		deny("an identity token where access tokens are asked for", 401, "invalid_token", "/a26", bearer(rs.token("typed", object{"nonce": "x"}))),
		invalid("typ is no text", rs.sign(rs.header(object{"typ": 1}), mustJSON(claims("acme", nil)))))
	return []attack{
		{id: "15", what: "what is cached for one is not used for another", setup: issuer("cache", "{pem: ["+spki(t, "rsa")+"]}") + simple("a15", "cache") + simple("a15s", "acme", "scopes: {all: [admin]}"), probes: []probe{
			pass("cached", "a-jwt", "/a", bearer(good)), pass("again", "a-jwt", "/a", bearer(good)),
			deny("at an Api of another issuer", 401, "invalid_token", "/a15", bearer(good)),
			deny("at a plan with a scope", 403, "insufficient_scope", "/a15s", bearer(good)),
			deny("other claims under its signature", 401, "invalid_token", "/a", bearer(graft(rs.token("acme", object{"azp": "root"}), good))),
			deny("its claims under another signature", 401, "invalid_token", "/a", bearer(graft(good, rs.token("acme", object{"azp": "root"})))),
		}, check: func(_ *testing.T, n *node) {
			c := call{target: "/a", header: []string{bearer(rs.token("acme", object{"exp": time.Now().Unix() - 28}))}} // and clock_skew is 30 s
			n.ask(c)
			n.until("expired in the cache", func() bool { return n.ask(c).reason() == "token_expired" })
		}},
		{id: "16", what: "a flood of unknown kids", check: func(t *testing.T, _ *node) {
			t.Helper()
			var fetches atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fetches.Add(1)
				fmt.Fprint(w, jwks(t, jwk(t, "rsa", "k1")))
			}))
			defer server.Close()
			n := start(t, issuer("flood", "{jwks_urls: ["+server.URL+"]}"), simple("x", "flood"))
			c := call{target: "/x", header: []string{bearer(rs.token("flood", nil))}}
			n.until("keys fetched", func() bool { return n.ask(c).status == 200 })
			for i := range 200 {
				unknown := key{alg: "RS256", kid: fmt.Sprint("kid", i), private: pair(t, "rsa#2")}.token("flood", nil)
				if got := n.ask(call{target: "/x", header: []string{bearer(unknown)}}); got.reason() != "invalid_token" || got.reached != 0 {
					t.Fatalf("%d %s", got.status, got.body)
				}
			}
			if f := fetches.Load(); f > 2 {
				t.Errorf("%d fetches", f)
			}
		}},
		{id: "18", what: "an address in iss", probes: []probe{
			invalid("of a server", rs.token("acme", object{"iss": trap.URL})),
			invalid("relative", rs.token("acme", object{"iss": "//" + strings.TrimPrefix(trap.URL, "http://")})),
		}, check: func(t *testing.T, _ *node) {
			t.Helper()
			if called.Load() != 0 {
				t.Error("it was called")
			}
		}},
		dates,
		{id: "22", what: "no exp", probes: []probe{invalid("none", rs.token("acme", object{"exp": absent{}}))}},
		{id: "23", what: "iat and nbf in the future, or no dates", probes: []probe{
			invalid("iat", rs.token("acme", object{"iat": now + 120})), invalid("nbf", rs.token("acme", object{"nbf": now + 120})),
			raw("nbf is text", "nbf", `"1"`), raw("iat is text", "iat", `"1"`),
		}},
		audiences,
		{id: "25", what: "iss that is nearly right", probes: []probe{
			invalid("slash", rs.token("acme", object{"iss": "https://acme.test/"})), invalid("case", rs.token("acme", object{"iss": "https://Acme.test"})),
			invalid("blank", rs.token("acme", object{"iss": "https://acme.test "})), invalid("list", rs.token("acme", object{"iss": []string{"https://acme.test"}})),
			invalid("another letter", rs.token("acme", object{"iss": "https://аcme.test"})), invalid("none", rs.token("acme", object{"iss": absent{}})),
		}},
		types,
		{id: "27", what: "a token for another service", setup: simple("a27", "acme", "audiences: [https://a27.test]"), probes: []probe{
			deny("none", 401, "invalid_token", "/a27", bearer(good)),
			deny("another", 401, "invalid_token", "/a27", bearer(rs.token("acme", object{"aud": "https://a28.test"}))),
			pass("this", "a27-jwt", "/a27", bearer(rs.token("acme", object{"aud": "https://a27.test"}))),
		}},
		{id: "30", what: "header fields inside claims", setup: simple("a30", "acme", "claims_to_headers: [{claim: sub, header: X-User}]"), probes: []probe{
			pass("line break", "a30-jwt", "/a30", bearer(rs.token("acme", object{"sub": "a\r\nX-Admin: 1"}))).sending(func(r *received) string {
				return has("X-User", "a%0D%0AX-Admin: 1")(r) + has("X-Admin", "")(r)
			}),
			pass("not ASCII", "a30-jwt", "/a30", bearer(rs.token("acme", object{"sub": "zoë"}))).sending(has("X-User", "zo%C3%AB")),
			pass("a line break of Unicode", "a30-jwt", "/a30", bearer(rs.token("acme", object{"sub": "a\u2028b\u0085c"}))).sending(has("X-User", "a%E2%80%A8b%C2%85c")),
			pass("blanks at the ends", "a30-jwt", "/a30", bearer(rs.token("acme", object{"sub": " a "}))).sending(has("X-User", "%20a%20")),
		}},
		{id: "44", what: "a bad credential where none is needed", probes: []probe{
			pass("none", "free-open", "/free"),
			deny("of another issuer", 401, "invalid_token", "/free", bearer(rs.token("nobody", nil))),
			deny("forged", 401, "invalid_token", "/free", bearer(forge(good))),
			deny("expired", 401, "token_expired", "/free", bearer(rs.token("acme", object{"exp": now - 60}))),
			deny("no subscription", 403, "subscription_not_found", "/free", bearer(rs.token("acme", object{"azp": "x"}))),
		}},
	}
}
