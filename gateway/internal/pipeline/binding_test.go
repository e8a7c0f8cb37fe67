package pipeline_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

func confirmed(modes string, more ...string) string {
	return plan("jwt", "JWT", append(more, "jwt: {issuers: [acme], confirmation: {"+modes+"}}")...)
}

func thumbprint(data []byte) string {
	sum := sha256.Sum256(data)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestCertificateBoundTokens(t *testing.T) {
	ca := newAuthority(t)
	mine, other := ca.client(), ca.client()
	bound := bearer(`"cnf":{"x5t#S256":"` + thumbprint(mine.Raw) + `"}`)
	plain := bearer()
	tests := []struct {
		name, modes string
		header      string
		peer        *x509.Certificate
		want        outcome
	}{
		{"plain", "", plain, nil, allow("jwt", "mobile")},
		{"bound, OFF", "", bound, mine, deny(denial.InvalidToken)},
		{"bound, OFF, no certificate", "", bound, nil, deny(denial.InvalidToken)},
		{"bound", "mtls: WHEN_BOUND", bound, mine, allow("jwt", "mobile")},
		{"bound, no certificate", "mtls: WHEN_BOUND", bound, nil, deny(denial.InvalidToken)},
		{"bound, another certificate", "mtls: WHEN_BOUND", bound, other, deny(denial.InvalidToken)},
		{"plain, when bound", "mtls: WHEN_BOUND", plain, nil, allow("jwt", "mobile")},
		{"plain, when bound, certificate", "mtls: WHEN_BOUND", plain, other, allow("jwt", "mobile")},
		{"required", "mtls: REQUIRED", bound, mine, allow("jwt", "mobile")},
		{"required, no certificate", "mtls: REQUIRED", bound, nil, deny(denial.InvalidToken)},
		{"required, another certificate", "mtls: REQUIRED", bound, other, deny(denial.InvalidToken)},
		{"required, plain", "mtls: REQUIRED", plain, mine, deny(denial.InvalidToken)},
	}
	for _, tt := range tests {
		w := newWorld(t, common, api, confirmed(tt.modes), subscribed("mobile", "jwt"))
		for range 2 {
			w.expect(tt.name, withCertificate(get("/orders", tt.header), tt.peer), tt.want)
		}
	}
	w := newWorld(t, common, api, confirmed("mtls: WHEN_BOUND"), subscribed("mobile", "jwt"))
	for _, cnf := range []string{
		`{}`, `"x"`, `[]`, `{"jwk":{}}`, `{"x5t#S256":1}`, `{"x5t#S256":""}`, `{"x5t#S256":"` + thumbprint(mine.Raw) + `="}`,
		`{"x5t#s256":"` + thumbprint(mine.Raw) + `"}`, `{"x5t":"` + thumbprint(mine.Raw) + `"}`, `{"jkt":1}`, `{"jkt":"x"}`,
		`{"x5t#S256":null}`, `{"x5t#S256":null,"jkt":null}`,
	} {
		w.expect("cnf "+cnf, withCertificate(get("/orders", bearer(`"cnf":`+cnf)), mine), deny(denial.InvalidToken))
	}
	// What is null is not there (RFC 7800 section 3.1 has none of it be null).
	w.expect("cnf null", get("/orders", bearer(`"cnf":null`)), allow("jwt", "mobile"))
	and := bearer(`"cnf":{"x5t#S256":"` + thumbprint(mine.Raw) + `","jkt":null}`)
	w.expect("cnf with a null beside", withCertificate(get("/orders", and), mine), allow("jwt", "mobile"))
	w.expect("cnf with a null beside, another certificate", withCertificate(get("/orders", and), other), deny(denial.InvalidToken))
	w = newWorld(t, common, api, confirmed("mtls: REQUIRED"), subscribed("mobile", "jwt"))
	w.expect("cnf null, required", withCertificate(get("/orders", bearer(`"cnf":null`)), mine), deny(denial.InvalidToken))
	// A mapping does not take the binding away.
	w = newWorld(t, common, api, confirmed("mtls: WHEN_BOUND"), subscribed("mobile", "jwt"),
		"kind: Issuer\nid: acme\nissuer: https://acme.test\nkeys: {hmac_secrets: [{value: "+secret+"}]}\nclaim_mappings: [{remote: cnf, local: x}]")
	w.expect("mapped", withCertificate(get("/orders", bound), nil), deny(denial.InvalidToken))

	// The plan that offers what the token needs decides.
	w = newWorld(t, common, api, plan("a", "JWT", acme), subscribed("mobile", "a"),
		confirmed("mtls: REQUIRED", "order: 1"), subscribed("mobile", "jwt"))
	w.expect("two plans, bound", withCertificate(get("/orders", bound), mine), allow("jwt", "mobile"))
	w.expect("two plans, bound, no certificate", get("/orders", bound), deny(denial.InvalidToken))
	w.expect("two plans, plain", withCertificate(get("/orders", plain), mine), allow("a", "mobile"))
}

// prover is a client that makes DPoP proofs.
type prover struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	used int
}

func newProver(t testing.TB) *prover {
	t.Helper()
	return &prover{t: t, key: newKey(t)}
}

func (p *prover) jwk() map[string]any {
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "x": enc(point[1:33]), "y": enc(point[33:])}
}

func (p *prover) jkt() string {
	k := p.jwk()
	return thumbprint([]byte(fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, k["x"], k["y"])))
}

// proof is good for GET http://api.test/orders with token, but for the changes;
// a nil value takes a member away.
func (p *prover) proof(token string, header, claims map[string]any) string {
	p.t.Helper()
	p.used++
	c := map[string]any{"jti": fmt.Sprintf("p%d", p.used), "htm": "GET", "htu": "http://api.test/orders", "iat": now, "ath": thumbprint([]byte(token))}
	h := map[string]any{"alg": "ES256", "typ": "dpop+jwt", "jwk": p.jwk()}
	maps.Copy(c, claims)
	maps.Copy(h, header)
	absent := func(_ string, v any) bool { return v == nil }
	maps.DeleteFunc(c, absent)
	maps.DeleteFunc(h, absent)
	enc := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			p.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := enc(h) + "." + enc(c)
	sig, err := jwt.SigningMethodES256.Sign(signed, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

type members = map[string]any

func TestDPoP(t *testing.T) {
	me, thief := newProver(t), newProver(t)
	bound := token(`"cnf":{"jkt":"` + me.jkt() + `"}`)
	plain := token()
	dpop := func(token string) string { return "Authorization: DPoP " + token }
	good := func() string { return me.proof(bound, nil, nil) }
	with := func(header, claims members) []string {
		return []string{dpop(bound), "DPoP: " + me.proof(bound, header, claims)}
	}
	private := me.jwk()
	private["d"] = "AAAA"
	tests := []struct {
		name, mode string
		headers    []string
		want       outcome
	}{
		{"good", "WHEN_BOUND", with(nil, nil), allow("jwt", "mobile")},
		{"required", "REQUIRED", with(nil, nil), allow("jwt", "mobile")},
		{"scheme in lower case", "REQUIRED", []string{"Authorization: dpop " + bound, "dpop: " + good()}, allow("jwt", "mobile")},
		{"plain, when bound", "WHEN_BOUND", []string{bear(plain)}, allow("jwt", "mobile")},
		{"plain, with a proof nobody asks for", "WHEN_BOUND", []string{bear(plain), "DPoP: x"}, allow("jwt", "mobile")},

		{"OFF", "OFF", with(nil, nil), deny(denial.MissingCredentials)},
		{"OFF, as a bearer token", "OFF", []string{bear(bound), "DPoP: " + good()}, deny(denial.InvalidToken)},
		{"as a bearer token", "WHEN_BOUND", []string{bear(bound)}, deny(denial.UnboundToken)},
		{"as a bearer token, with its proof", "WHEN_BOUND", []string{bear(bound), "DPoP: " + good()}, deny(denial.UnboundToken)},
		{"as a bearer token, required", "REQUIRED", []string{bear(bound)}, deny(denial.UnboundToken)},
		{"plain, required", "REQUIRED", []string{bear(plain)}, deny(denial.UnboundToken)},
		{"plain under DPoP", "WHEN_BOUND", []string{dpop(plain), "DPoP: " + me.proof(plain, nil, nil)}, deny(denial.UnboundToken)},
		{"no proof", "WHEN_BOUND", []string{dpop(bound)}, deny(denial.UnboundToken)},
		{"no token", "WHEN_BOUND", []string{"Authorization: DPoP", "DPoP: " + good()}, deny(denial.InvalidRequest)},
		{"both schemes", "WHEN_BOUND", []string{dpop(bound), bear(bound), "DPoP: " + good()}, deny(denial.InvalidRequest)},
		{"two proofs", "WHEN_BOUND", []string{dpop(bound), "DPoP: " + good(), "DPoP: " + good()}, deny(denial.InvalidProof)},
		{"nothing", "WHEN_BOUND", nil, deny(denial.MissingCredentials)},

		{"not a JWT", "WHEN_BOUND", []string{dpop(bound), "DPoP: junk"}, deny(denial.InvalidProof)},
		{"the token itself", "WHEN_BOUND", []string{dpop(bound), "DPoP: " + bound}, deny(denial.InvalidProof)},
		{"typ", "WHEN_BOUND", with(members{"typ": "JWT"}, nil), deny(denial.InvalidProof)},
		{"no typ", "WHEN_BOUND", with(members{"typ": nil}, nil), deny(denial.InvalidProof)},
		{"alg none", "WHEN_BOUND", with(members{"alg": "none"}, nil), deny(denial.InvalidProof)},
		{"alg HS256", "WHEN_BOUND", with(members{"alg": "HS256"}, nil), deny(denial.InvalidProof)},
		{"another alg", "WHEN_BOUND", with(members{"alg": "RS256"}, nil), deny(denial.InvalidProof)},
		{"no jwk", "WHEN_BOUND", with(members{"jwk": nil}, nil), deny(denial.InvalidProof)},
		{"private jwk", "WHEN_BOUND", with(members{"jwk": private}, nil), deny(denial.InvalidProof)},
		{"secret jwk", "WHEN_BOUND", with(members{"jwk": members{"kty": "oct", "k": "AAAA"}}, nil), deny(denial.InvalidProof)},
		{"another's jwk", "WHEN_BOUND", with(members{"jwk": thief.jwk()}, nil), deny(denial.InvalidProof)},
		{"another's proof", "WHEN_BOUND", []string{dpop(bound), "DPoP: " + thief.proof(bound, nil, nil)}, deny(denial.InvalidProof)},
		{"signed by another", "WHEN_BOUND", []string{dpop(bound), "DPoP: " + thief.proof(bound, members{"jwk": me.jwk()}, nil)}, deny(denial.InvalidProof)},
		{"no jti", "WHEN_BOUND", with(nil, members{"jti": nil}), deny(denial.InvalidProof)},
		{"empty jti", "WHEN_BOUND", with(nil, members{"jti": ""}), deny(denial.InvalidProof)},
		{"long jti", "WHEN_BOUND", with(nil, members{"jti": strings.Repeat("j", 257)}), deny(denial.InvalidProof)},
		{"no iat", "WHEN_BOUND", with(nil, members{"iat": nil}), deny(denial.InvalidProof)},
		{"old", "WHEN_BOUND", with(nil, members{"iat": now - 61}), deny(denial.InvalidProof)},
		{"oldest", "WHEN_BOUND", with(nil, members{"iat": now - 60}), allow("jwt", "mobile")},
		{"from the future", "WHEN_BOUND", with(nil, members{"iat": now + 61}), deny(denial.InvalidProof)},
		{"RFC 7519 section 4.1.4, exp", "WHEN_BOUND", with(nil, members{"exp": now + 1}), allow("jwt", "mobile")},
		{"RFC 7519 section 4.1.4, exp has passed", "WHEN_BOUND", with(nil, members{"exp": now}), deny(denial.InvalidProof)},
		{"RFC 7519 section 4.1.4, exp with a fraction", "WHEN_BOUND", with(nil, members{"exp": json.RawMessage("1900000000.9")}), deny(denial.InvalidProof)},
		{"exp null", "WHEN_BOUND", with(nil, members{"exp": json.RawMessage("null")}), allow("jwt", "mobile")},
		{"exp is text", "WHEN_BOUND", with(nil, members{"exp": "1900000300"}), deny(denial.InvalidProof)},
		{"RFC 7519 section 4.1.5, nbf", "WHEN_BOUND", with(nil, members{"nbf": now}), allow("jwt", "mobile")},
		{"RFC 7519 section 4.1.5, nbf in the future", "WHEN_BOUND", with(nil, members{"nbf": now + 1}), deny(denial.InvalidProof)},
		{"RFC 7519 section 2, iat with a fraction (JavaScript's Date.now()/1000)", "WHEN_BOUND", with(nil, members{"iat": json.RawMessage("1899999999.123")}), allow("jwt", "mobile")},
		{"RFC 7519 section 2, iat with an exponent", "WHEN_BOUND", with(nil, members{"iat": json.RawMessage("1.9e9")}), allow("jwt", "mobile")},
		{"no ath", "WHEN_BOUND", with(nil, members{"ath": nil}), deny(denial.InvalidProof)},
		{"ath of another token", "WHEN_BOUND", with(nil, members{"ath": thumbprint([]byte(plain))}), deny(denial.InvalidProof)},
		{"no htm", "WHEN_BOUND", with(nil, members{"htm": nil}), deny(denial.InvalidProof)},
		{"another method", "WHEN_BOUND", with(nil, members{"htm": "POST"}), deny(denial.InvalidProof)},
		{"method in lower case", "WHEN_BOUND", with(nil, members{"htm": "get"}), deny(denial.InvalidProof)},
		{"no htu", "WHEN_BOUND", with(nil, members{"htu": nil}), deny(denial.InvalidProof)},
		{"another path", "WHEN_BOUND", with(nil, members{"htu": "http://api.test/orders/1"}), deny(denial.InvalidProof)},
		{"path in other case", "WHEN_BOUND", with(nil, members{"htu": "http://api.test/Orders"}), deny(denial.InvalidProof)},
		{"another host", "WHEN_BOUND", with(nil, members{"htu": "http://evil.test/orders"}), deny(denial.InvalidProof)},
		{"another scheme", "WHEN_BOUND", with(nil, members{"htu": "https://api.test/orders"}), deny(denial.InvalidProof)},
		{"another port", "WHEN_BOUND", with(nil, members{"htu": "http://api.test:8080/orders"}), deny(denial.InvalidProof)},
		{"no URL", "WHEN_BOUND", with(nil, members{"htu": "/orders"}), deny(denial.InvalidProof)},
		{"user in the URL", "WHEN_BOUND", with(nil, members{"htu": "http://api.test@evil.test/orders"}), deny(denial.InvalidProof)},
		{"the same URL otherwise", "WHEN_BOUND", with(nil, members{"htu": "HTTP://API.test:80/%6Frders?a=b#c"}), allow("jwt", "mobile")},
	}
	for _, tt := range tests {
		w := newWorld(t, common, api, confirmed("dpop: "+tt.mode), subscribed("mobile", "jwt"))
		r := get("/orders?q=1", tt.headers...)
		w.expect(tt.name+", explained first", r, explained(w, r, tt.want))
		if tt.want.denial == nil && tt.headers[0] != bear(plain) {
			w.expect(tt.name+": replayed", r, deny(denial.InvalidProof))
		}
	}
}

// explained asks for an explanation, which must not use up the proof.
func explained(w *world, r *request.Request, want outcome) outcome {
	w.t.Helper()
	for range 2 {
		if _, err := w.pipeline.Explain(w.view, r, &pipeline.Decision{}); (err == nil) != (want.denial == nil) {
			w.t.Errorf("explained: %v", err)
		}
	}
	return want
}

// A proof is checked once, however many plans are asked.
func TestDPoPOfSeveralPlans(t *testing.T) {
	me := newProver(t)
	bound := token(`"cnf":{"jkt":"` + me.jkt() + `"}`)
	w := newWorld(t, common, api, confirmed("dpop: WHEN_BOUND"),
		plan("two", "JWT", "order: 1", "jwt: {issuers: [acme], confirmation: {dpop: REQUIRED}}"), subscribed("mobile", "two"))
	r := get("/orders", "Authorization: DPoP "+bound, "DPoP: "+me.proof(bound, nil, nil))
	w.expect("the second is subscribed to", r, allow("two", "mobile"))
	w.expect("replayed", r, deny(denial.InvalidProof))
	// A wrong proof is the answer, although the second plan would not ask for one.
	w = newWorld(t, common, api, confirmed("dpop: WHEN_BOUND"), plan("two", "JWT", "order: 1", acme), subscribed("mobile", "two"))
	w.expect("no second chance", get("/orders", "Authorization: DPoP "+bound, "DPoP: x"), deny(denial.InvalidProof))
}

// RFC 9449 section 4.3, number 9: htu is compared after normalisation by syntax and scheme
// (RFC 3986 sections 6.2.2 and 6.2.3), without query and fragment.
func TestDPoPURLs(t *testing.T) {
	me := newProver(t)
	bound := token(`"cnf":{"jkt":"` + me.jkt() + `"}`)
	w := newWorld(t, common, api, confirmed("dpop: REQUIRED"), subscribed("mobile", "jwt"))
	const base = "http://api.test"
	for _, c := range []struct {
		name, target, htu string
		same              bool
	}{
		{"to the letter", "/orders/a", base + "/orders/a", true},
		{"RFC 3986 section 6.2.2.1, case of scheme and host", "/orders/a", "HtTp://Api.TEST/orders/a", true},
		{"RFC 3986 section 6.2.2.1, case of a path counts", "/orders/a", base + "/orders/A", false},
		{"RFC 3986 section 6.2.2.1, case of percent-encoding", "/orders/%c3%bc", base + "/orders/%C3%BC", true},
		{"RFC 3986 section 6.2.2.1, the other way round", "/orders/%C3%BC", base + "/orders/%c3%bc", true},
		{"RFC 3986 section 6.2.2.2, unreserved characters", "/orders/a", base + "/%6frders/%61", true},
		{"RFC 3986 section 6.2.2.2, in the request", "/%6Frders/%7Ea", base + "/orders/~a", true},
		{"RFC 3986 section 2.2, reserved characters are others", "/orders/a%3Fb", base + "/orders/a?b", false},
		{"RFC 3986 section 2.2, an encoded semicolon", "/orders/a%3Bb", base + "/orders/a;b", false},
		{"RFC 3986 section 2.4, encoded twice", "/orders/a%2541", base + "/orders/aA", false},
		{"RFC 3986 section 6.2.2.3, a dot", "/orders/a", base + "/orders/./a", true},
		{"RFC 3986 section 6.2.2.3, two dots", "/orders/a", base + "/x/../orders/y/../a", true},
		{"RFC 3986 section 6.2.2.3, encoded dots", "/orders/a", base + "/orders/%2e%2E/orders/%2E/a", true},
		{"RFC 3986 section 5.2.4, more dots than segments", "/orders/a", base + "/../../orders/a", true},
		{"RFC 3986 section 5.2.4, dots at the end", "/orders/a/", base + "/orders/a/b/..", true},
		{"RFC 3986 section 5.2.4, a dot at the end", "/orders/a/", base + "/orders/a/.", true},
		{"RFC 3986 section 5.2.4, an empty segment is one", "/orders/a", base + "/orders//../a", true},
		{"dots that lead elsewhere", "/orders/a", base + "/orders/a/../b", false},
		{"dots with parameters", "/orders/a", base + "/orders/x/..;v=1/a", false},
		{"three dots are a name", "/orders/.../a", base + "/orders/a", false},
		{"a dot before a name", "/orders/.a", base + "/orders/.a", true},
		{"RFC 3986 section 6.2.3, the scheme's port", "/orders/a", base + ":80/orders/a", true},
		{"RFC 3986 section 6.2.3, an empty port", "/orders/a", base + ":/orders/a", true},
		{"RFC 3986 section 6.2.3, the other scheme's port", "/orders/a", base + ":443/orders/a", false},
		{"a slash at the end counts", "/orders/a", base + "/orders/a/", false},
		{"slashes that the gateway forwards as one", "/orders//a", base + "/orders/a", true},
		{"RFC 9449 section 4.3, query and fragment", "/orders/a?b=1", base + "/orders/a?c=2#d", true},
		{"user information", "/orders/a", "http://me@api.test/orders/a", false},
		{"another scheme", "/orders/a", "ftp://api.test/orders/a", false},
		{"no scheme", "/orders/a", "//api.test/orders/a", false},
		{"an encoded slash", "/orders/a", base + "/orders%2Fa", false},
		{"broken percent-encoding", "/orders/a", base + "/orders/a%2", false},
		{"a blank", "/orders/a", base + "/orders/a ", false},
	} {
		want := deny(denial.InvalidProof)
		if c.same {
			want = allow("jwt", "mobile")
		}
		r := get(c.target, "Authorization: DPoP "+bound, "DPoP: "+me.proof(bound, nil, members{"htu": c.htu}))
		var err error
		if r.Path, _, err = request.Canonical(nil, []byte(c.target)); err != nil { // as a front does
			t.Fatal(err)
		}
		w.expect(c.name, r, want)
	}
	// RFC 3986 section 6.2.3: an empty path is "/".
	root := newWorld(t, common, strings.Replace(api, "context_path: /orders", "context_path: /", 1), confirmed("dpop: REQUIRED"), subscribed("mobile", "jwt"))
	for _, htu := range []string{base, base + "/", base + "?a", base + "/.", base + "/.."} {
		root.expect(htu, get("/", "Authorization: DPoP "+bound, "DPoP: "+me.proof(bound, nil, members{"htu": htu})), allow("jwt", "mobile"))
	}
}

func TestDPoPOverTLS(t *testing.T) {
	me := newProver(t)
	bound := token(`"cnf":{"jkt":"` + me.jkt() + `"}`)
	w := newWorld(t, common, api, confirmed("dpop: REQUIRED"), subscribed("mobile", "jwt"))
	ask := func(htu string, port uint16) *request.Request {
		r := get("/orders", "Authorization: DPoP "+bound, "DPoP: "+me.proof(bound, nil, members{"htu": htu}))
		r.Secure, r.Port = true, port
		return r
	}
	w.expect("default port", ask("https://api.test/orders", 0), allow("jwt", "mobile"))
	w.expect("default port, named", ask("https://api.test/orders", 443), allow("jwt", "mobile"))
	w.expect("port", ask("https://api.test:8443/orders", 8443), allow("jwt", "mobile"))
	w.expect("port missing", ask("https://api.test/orders", 8443), deny(denial.InvalidProof))
	w.expect("downgraded scheme", ask("http://api.test/orders", 0), deny(denial.InvalidProof))
}

func TestDPoPChallengesAndForwarding(t *testing.T) {
	me := newProver(t)
	bound := token(`"cnf":{"jkt":"` + me.jkt() + `"}`)
	challenge := func(w *world, r *request.Request) string {
		_, err := w.decide(r)
		d, ok := err.(*denial.Denial)
		if !ok {
			t.Fatalf("got %v", err)
		}
		return d.Answer(pb.Api_PROBLEM).Challenge
	}
	only := newWorld(t, common, api, confirmed("dpop: REQUIRED"), subscribed("mobile", "jwt"))
	if c := challenge(only, get("/orders")); !strings.HasPrefix(c, `DPoP realm="portcullis", algs="ES256 `) || strings.Contains(c, "Bearer") {
		t.Errorf("only DPoP: %s", c)
	}
	either := newWorld(t, common, api, confirmed("dpop: WHEN_BOUND"), subscribed("mobile", "jwt"))
	if c := challenge(either, get("/orders")); c != `Bearer realm="portcullis", DPoP realm="portcullis", algs="`+denial.DPoPAlgorithms+`"` {
		t.Errorf("either: %s", c)
	}
	if c := challenge(either, get("/orders", bear(bound))); !strings.HasPrefix(c, "DPoP ") || !strings.Contains(c, `error="invalid_token"`) || !strings.Contains(c, `algs="`) {
		t.Errorf("downgrade: %s", c)
	}
	if c := challenge(either, get("/orders", "Authorization: DPoP "+bound, "DPoP: x")); !strings.Contains(c, `error="invalid_dpop_proof"`) {
		t.Errorf("bad proof: %s", c)
	}
	for _, forward := range []bool{false, true} {
		w := newWorld(t, common, api, subscribed("mobile", "jwt"),
			plan("jwt", "JWT", fmt.Sprintf("jwt: {issuers: [acme], forward_token: %v, confirmation: {dpop: WHEN_BOUND}}", forward)))
		d := w.expect("forwarded", get("/orders", "Authorization: DPoP "+bound, "DPoP: "+me.proof(bound, nil, nil)), allow("jwt", "mobile"))
		if d.Forward.Strip.Has([]byte("DPoP")) == forward || (d.Forward.Credential.Header == "Authorization") == forward {
			t.Errorf("forward_token %v: %+v", forward, d.Forward)
		}
	}
}

// A full memory of proofs lets nobody in, and says so.
func TestDPoPMemoryIsBounded(t *testing.T) {
	me := newProver(t)
	bound := token(`"cnf":{"jkt":"` + me.jkt() + `"}`)
	tokens := authn.New(authn.Config{Proofs: 1})
	w := newWorld(t, common, api, confirmed("dpop: REQUIRED"), subscribed("mobile", "jwt"))
	w.pipeline = pipeline.New(tokens, restrict.NewStore(0))
	first := get("/orders", "Authorization: DPoP "+bound, "DPoP: "+me.proof(bound, nil, nil))
	w.expect("first", first, allow("jwt", "mobile"))
	full := 0
	for range 200 {
		_, err := w.decide(get("/orders", "Authorization: DPoP "+bound, "DPoP: "+me.proof(bound, nil, nil)))
		if err == error(denial.ProofsUnavailable) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if stats := tokens.Stats(); full != 200 || stats.Proofs != 1 || stats.ProofsRefused != uint64(full) {
		t.Errorf("%d refused, %+v", full, stats)
	}
	w.expect("still remembered", first, deny(denial.InvalidProof))
	late := get("/orders", "Authorization: DPoP "+bound, "DPoP: "+me.proof(bound, nil, members{"iat": now + 61}))
	late.Now += 61
	w.expect("room again", late, allow("jwt", "mobile"))
}

// A client that uses proofs without measure, with as many keys as it likes, keeps no
// other client from its own.
func TestDPoPMemoryIsShared(t *testing.T) {
	tokens := authn.New(authn.Config{Proofs: 60})
	w := newWorld(t, common, api, confirmed("dpop: REQUIRED"), subscribed("mobile", "jwt"), "kind: Subscription\nid: d\napplication: desktop\nplan: jwt\nstatus: ACCEPTED")
	w.pipeline = pipeline.New(tokens, restrict.NewStore(0))
	ask := func(client string, key *prover) error {
		bound := tokenOf("https://acme.test", client, `"cnf":{"jkt":"`+key.jkt()+`"}`)
		_, err := w.decide(get("/orders", "Authorization: DPoP "+bound, "DPoP: "+key.proof(bound, nil, nil)))
		return err
	}
	passed := 0
	for range 10 {
		key := newProver(t)
		for range 10 {
			err := ask("mobile-app", key)
			switch d, refused := errors.AsType[*denial.Denial](err); {
			case err == nil:
				passed++
			case !refused || d.Reason() != denial.ProofsUnavailable.Reason() || d.Cause() != cause.ProofShare:
				t.Fatalf("refused for another reason: %v", err)
			}
		}
	}
	if passed != 30 {
		t.Errorf("%d of the flood passed, want half of the memory", passed)
	}
	good := newProver(t)
	for i := range 10 {
		if err := ask("desktop-app", good); err != nil {
			t.Errorf("proof %d of another client: %v", i, err)
		}
	}
}

// Introspected tokens are bound in the same way (RFC 9449 section 6.2).
func TestIntrospectedTokensAreBound(t *testing.T) {
	me, ca := newProver(t), newAuthority(t)
	mine := ca.client()
	s := newIDP(t)
	s.knows("k", answer(`"token_type":"DPoP","cnf":{"jkt":"`+me.jkt()+`"}`))
	s.knows("c", answer(`"cnf":{"x5t#S256":"`+thumbprint(mine.Raw)+`"}`))
	s.knows("x", answer(`"cnf":{"kid":"x"}`))
	w := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), subscribed("web", "oauth"),
		plan("oauth", "OAUTH2", "oauth2: {issuers: [opaque], confirmation: {mtls: WHEN_BOUND, dpop: WHEN_BOUND}}"))
	good := func() *request.Request {
		return get("/orders", "Authorization: DPoP k", "DPoP: "+me.proof("k", nil, nil))
	}
	for range 2 {
		w.expect("key", good(), allow("oauth", "web"))
		w.expect("certificate", withCertificate(get("/orders", bear("c")), mine), allow("oauth", "web"))
		w.expect("key, no proof", get("/orders", bear("k")), deny(denial.UnboundToken))
		w.expect("no certificate", get("/orders", bear("c")), deny(denial.InvalidToken))
		w.expect("another certificate", withCertificate(get("/orders", bear("c")), ca.client()), deny(denial.InvalidToken))
		w.expect("bound to what nobody knows", get("/orders", bear("x")), deny(denial.InvalidToken))
	}
}
