package pipeline_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/introspect"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

// idp is an authorization server that answers about tokens as a test says.
type idp struct {
	*httptest.Server
	calls atomic.Int64

	mu      sync.Mutex
	tokens  map[string]string // token → answer; others are inactive
	asked   []string
	respond http.HandlerFunc // nil: from tokens
}

func newIDP(t testing.TB) *idp {
	t.Helper()
	s := &idp{tokens: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if r.Method != http.MethodPost || r.ParseForm() != nil || r.PostForm.Get("token_type_hint") != "access_token" {
			t.Errorf("a strange question: %s %s", r.Method, body)
		}
		if user, pass, _ := r.BasicAuth(); user != "gate%3Away" || pass != "s+cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.mu.Lock()
		respond, answer := s.respond, s.tokens[r.PostForm.Get("token")]
		s.asked = append(s.asked, r.PostForm.Get("token"))
		s.mu.Unlock()
		if respond != nil {
			respond(w, r)
			return
		}
		if answer == "" {
			answer = `{"active":false}`
		}
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *idp) knows(token, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = answer
}

func (s *idp) responds(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.respond = h
}

// issuer is an Issuer whose tokens s knows about.
func (s *idp) issuer(id string, more ...string) string {
	skew := "clock_skew: 0s\n"
	if strings.Contains(strings.Join(more, " "), "clock_skew") {
		skew = ""
	}
	return "kind: Issuer\nid: " + id + "\nissuer: https://" + id + ".test\n" + skew + strings.Join(more, "\n") +
		"\nintrospection: {url: " + s.URL + "/introspect, client_id: 'gate:way', client_secret: {value: 's cret'}, timeout: 0.5s}"
}

func answer(members ...string) string {
	return `{"active":true,` + strings.Join(append(members, `"client_id":"opaque-app"`), ",") + `}`
}

const opaqueApp = `
kind: Application
id: web
name: Web
clients: [{issuer: opaque, client_id: opaque-app}]
`

const oauth = "oauth2: {issuers: [opaque]}"

func bear(token string) string { return "Authorization: Bearer " + token }

func TestIntrospection(t *testing.T) {
	s := newIDP(t)
	w := newWorld(t, common, api, opaqueApp, s.issuer("opaque", "audiences: [https://orders.test]", "clock_skew: 5s"),
		plan("oauth", "OAUTH2", "oauth2: {issuers: [opaque], scopes: {all: [read]}, claims_to_headers: [{claim: sub, header: X-User}]}"), subscribed("web", "oauth"))
	good := `"aud":"https://orders.test","scope":"read","sub":"alice"`
	tests := []struct {
		name, answer string
		want         outcome
	}{
		{"active", answer(good), allow("oauth", "web")},
		{"with all there is", answer(good, `"iss":"https://opaque.test","exp":1900000600,"nbf":1899999999,"iat":1899999990,"jti":"j","token_type":"Bearer","username":"a"`), allow("oauth", "web")},
		{"nulls", answer(good, `"iss":null,"exp":null,"username":null`), allow("oauth", "web")},
		{"token type in lower case", answer(good, `"token_type":"bearer"`), allow("oauth", "web")},
		{"scopes as a list", answer(`"aud":["x","https://orders.test"],"scope":["read"]`), allow("oauth", "web")},
		{"within the skew", answer(good, `"exp":1899999996`), allow("oauth", "web")},

		{"inactive", `{"active":false}`, deny(denial.InvalidToken)},
		{"inactive with the rest", strings.Replace(answer(good), "true", "false", 1), deny(denial.InvalidToken)},
		{"other issuer", answer(good, `"iss":"https://evil.test"`), deny(denial.InvalidToken)},
		{"other audience", answer(`"aud":"https://x.test","scope":"read"`), deny(denial.InvalidToken)},
		{"no audience", answer(`"scope":"read"`), deny(denial.InvalidToken)},
		{"empty audience", answer(`"aud":[],"scope":"read"`), deny(denial.InvalidToken)},
		{"expired", answer(good, `"exp":1899999995`), deny(denial.TokenExpired)},
		{"not yet", answer(good, `"nbf":1900000006`), deny(denial.InvalidToken)},
		{"from the future", answer(good, `"iat":1900000006`), deny(denial.InvalidToken)},
		{"refresh token", answer(good, `"token_type":"refresh_token"`), deny(denial.InvalidToken)},
		{"refresh token of Keycloak", answer(good, `"typ":"Refresh"`), deny(denial.InvalidToken)},
		{"token type of RFC 8693", answer(good, `"token_type":"urn:ietf:params:oauth:token-type:access_token"`), allow("oauth", "web")},
		{"another token type", answer(good, `"token_type":"mac"`), deny(denial.InvalidToken)},
		{"identity token of Keycloak", answer(good, `"typ":"ID"`), deny(denial.InvalidToken)},
		{"identity token of Amazon Cognito", answer(good, `"token_use":"id"`), deny(denial.InvalidToken)},
		{"logout token", answer(good, `"events":{"http://schemas.openid.net/event/backchannel-logout":{}}`), deny(denial.InvalidToken)},
		{"security event", answer(good, `"typ":"secevent+jwt"`), deny(denial.InvalidToken)},
		{"nonce", answer(good, `"nonce":"n"`), allow("oauth", "web")},
		{"ID token", answer(good, `"token_use":"id_token"`), deny(denial.InvalidToken)},
		{"no scope", answer(`"aud":"https://orders.test"`), deny(denial.InsufficientScope)},
		{"unknown client", strings.Replace(answer(good), "opaque-app", "other", 1), deny(denial.SubscriptionNotFound)},
		{"no client", `{"active":true,` + good + `}`, deny(denial.SubscriptionNotFound)},
		{"RFC 7662 section 2.2, client_id empty", `{"active":true,"client_id":"",` + good + `}`, deny(denial.SubscriptionNotFound)},
		{"RFC 7662 section 2.2, client_id a number", `{"active":true,"client_id":7,` + good + `}`, deny(denial.SubscriptionNotFound)},
		{"azp null, and client_id", answer(good, `"azp":null`), allow("oauth", "web")},
		{"audience null", answer(`"aud":null,"scope":"read"`), deny(denial.InvalidToken)},
		{"scope null", answer(`"aud":"https://orders.test","scope":null`), deny(denial.InsufficientScope)},
		{"scope null, and scp", answer(`"aud":"https://orders.test","scope":null,"scp":["read"]`), allow("oauth", "web")},
		{"cnf null", answer(good, `"cnf":null`), allow("oauth", "web")},
		{"RFC 7519 section 2, dates with exponents and fractions", answer(good, `"exp":1.9000006e9,"nbf":1899999999.5,"iat":18999999905e-1`), allow("oauth", "web")},
		{"RFC 7519 section 2, exp with an exponent, expired", answer(good, `"exp":1.899999995e9`), deny(denial.TokenExpired)},
		{"RFC 7519 section 2, nbf rounded up", answer(good, `"nbf":1900000005.1`), deny(denial.InvalidToken)},

		{"active as text", strings.Replace(answer(good), "true", `"true"`, 1), deny(denial.IntrospectionUnavailable)},
		{"active as a number", strings.Replace(answer(good), "true", "1", 1), deny(denial.IntrospectionUnavailable)},
		{"active in other case", strings.Replace(answer(good), "active", "Active", 1), deny(denial.IntrospectionUnavailable)},
		{"active twice", `{"active":false,` + answer(good)[1:], deny(denial.IntrospectionUnavailable)},
		{"no active", `{` + good + `}`, deny(denial.IntrospectionUnavailable)},
		{"active null", `{"active":null}`, deny(denial.IntrospectionUnavailable)},
		{"a list", `[` + answer(good) + `]`, deny(denial.IntrospectionUnavailable)},
		{"more behind", answer(good) + "{}", deny(denial.IntrospectionUnavailable)},
		{"exp as text", answer(good, `"exp":"1900000600"`), deny(denial.IntrospectionUnavailable)},
		{"aud as a number", answer(`"aud":1,"scope":"read"`), deny(denial.IntrospectionUnavailable)},
		{"exp before 1970", answer(good, `"exp":-1`), deny(denial.IntrospectionUnavailable)},
		{"sub as a number", answer(`"aud":"https://orders.test","sub":1,"scope":"read"`), deny(denial.IntrospectionUnavailable)},
		{"scope as a number", answer(`"aud":"https://orders.test","scope":1`), deny(denial.IntrospectionUnavailable)},
		{"not UTF-8", answer(good, "\"x\":\"\xff\""), deny(denial.IntrospectionUnavailable)},
	}
	for i, tt := range tests {
		token := fmt.Sprintf("opaque-%d", i)
		s.knows(token, tt.answer)
		d := w.expect(tt.name, get("/orders", bear(token)), tt.want)
		if tt.want.denial == nil && strings.Contains(tt.answer, `"alice"`) && (len(d.Forward.Set) != 1 || d.Forward.Set[0].Value != "alice") {
			t.Errorf("%s: headers %v", tt.name, d.Forward.Set)
		}
	}
	for _, bad := range []string{"a,b", "a b", `a"`, "ä", "="} {
		before := s.calls.Load()
		w.expect("no token: "+bad, get("/orders", bear(bad)), deny(denial.InvalidRequest))
		if s.calls.Load() != before {
			t.Errorf("%q was sent to the server", bad)
		}
	}
	w.expect("too long", get("/orders", bear(strings.Repeat("x", 16<<10+1))), deny(denial.TokenTooLong))
	w.expect("too long, explained", get("/orders", bear(strings.Repeat("x", 16<<10+1))), explained(w, get("/orders", bear(strings.Repeat("x", 16<<10+1))), deny(denial.TokenTooLong)))
}

// What introspected tokens need not say, an issuer can ask for.
// That a token is too long is the answer whatever other plans say.
func TestTooLongTokenBeforeOtherPlans(t *testing.T) {
	s := newIDP(t)
	w := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), plan("jwt", "JWT", acme), plan("oauth", "OAUTH2", "oauth2: {issuers: [opaque]}"),
		subscribed("mobile", "jwt"), subscribed("web", "oauth"))
	for _, long := range []string{strings.Repeat("x", 16<<10+1), token(`"pad":"` + strings.Repeat("x", 16<<10) + `"`)} {
		w.expect("too long", get("/orders", bear(long)), deny(denial.TokenTooLong))
	}
	if s.calls.Load() != 0 {
		t.Error("the server was asked")
	}
}

// Of a provider with tenants an answer must say of which the token is.
func TestIntrospectedTokensOfTenants(t *testing.T) {
	s := newIDP(t)
	issuer := strings.Replace(s.issuer("opaque", "tenants: [ours]"), "https://opaque.test", "https://opaque.test/{tenantid}/v2", 1)
	w := newWorld(t, common, api, opaqueApp, issuer, plan("oauth", "OAUTH2", "oauth2: {issuers: [opaque]}"), subscribed("web", "oauth"))
	for name, tt := range map[string]struct {
		answer string
		want   outcome
	}{
		"ours":        {answer(`"iss":"https://opaque.test/ours/v2","tid":"ours"`), allow("oauth", "web")},
		"theirs":      {answer(`"iss":"https://opaque.test/theirs/v2","tid":"theirs"`), deny(denial.InvalidToken)},
		"tid alone":   {answer(`"tid":"ours"`), deny(denial.InvalidToken)},
		"iss alone":   {answer(`"iss":"https://opaque.test/ours/v2"`), deny(denial.InvalidToken)},
		"neither":     {answer(), deny(denial.InvalidToken)},
		"another tid": {answer(`"iss":"https://opaque.test/ours/v2","tid":"theirs"`), deny(denial.InvalidToken)},
	} {
		opaque := strings.ReplaceAll(name, " ", "-")
		s.knows(opaque, tt.answer)
		w.expect(name, get("/orders", bear(opaque)), tt.want)
	}
}

func TestIntrospectedTokensOfStricterIssuers(t *testing.T) {
	s := newIDP(t)
	for setting, answers := range map[string]map[string]outcome{
		"require_expiry: true":  {answer(`"exp":1900000001`): allow("oauth", "web"), answer(): deny(denial.InvalidToken)},
		"require_expiry: false": {answer(): allow("oauth", "web")},
		"max_lifetime: 10m": {
			answer(`"exp":1900000600,"iat":1900000000`): allow("oauth", "web"), answer(`"exp":1900000601,"iat":1900000000`): deny(denial.InvalidToken),
			answer(): deny(denial.InvalidToken),
		},
		"accept: [REFRESH_TOKEN]": {
			answer(`"token_type":"refresh_token"`): allow("oauth", "web"), answer(`"typ":"Offline"`): allow("oauth", "web"),
			answer(`"typ":"ID"`): deny(denial.InvalidToken), answer(`"token_type":"mac"`): deny(denial.InvalidToken),
		},
		"refuse_id_token_claims: true":                      {answer(`"nonce":"n"`): deny(denial.InvalidToken), answer(`"nonce":null`): allow("oauth", "web")},
		"client_id_claims: [app]":                           {answer(`"app":"opaque-app"`): allow("oauth", "web"), answer(): deny(denial.SubscriptionNotFound)},
		"claim_mappings: [{remote: who, local: client_id}]": {answer(`"who":"x"`): deny(denial.SubscriptionNotFound)},
	} {
		w := newWorld(t, common, api, opaqueApp, s.issuer("opaque", setting), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
		for text, want := range answers {
			s.knows("t", text)
			w.compile() // forgets what was asked
			w.expect(setting+" "+text, get("/orders", bear("t")), want)
		}
	}
}

func TestIntrospectionServerMisbehaves(t *testing.T) {
	other := newIDP(t)
	other.knows("t", answer())
	tests := map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"400": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"401": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"201 active": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, answer())
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"HTML": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"JSON as HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, answer())
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer(`"x":"`+strings.Repeat("x", 65<<10)+`"`))
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, answer())
		},
		"slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow in the body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"active":true`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, respond := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newIDP(t)
			s.responds(respond)
			w := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"), plan("free", "KEYLESS"))
			start := time.Now()
			w.expect(name, get("/orders", bear("t")), deny(denial.IntrospectionUnavailable))
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	t.Cleanup(func() {
		if other.calls.Load() != 0 {
			t.Error("a redirect was followed")
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		s := newIDP(t)
		w := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
		s.Close()
		w.expect("closed", get("/orders", bear("t")), deny(denial.IntrospectionUnavailable))
		a := denial.IntrospectionUnavailable.Answer(pb.Api_PROBLEM)
		if a.Status != 503 || a.RetryAfter == "" {
			t.Errorf("%+v", a)
		}
	})
}

func TestIntrospectionCache(t *testing.T) {
	s := newIDP(t)
	tokens := authn.New(authn.Config{})
	w := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
	w.pipeline = pipeline.New(tokens, restrict.NewStore(0))
	calls := func(name string, want int64) {
		t.Helper()
		if got := s.calls.Swap(0); got != want {
			t.Errorf("%s: asked %d times, want %d", name, got, want)
		}
	}
	at := func(name, token string, seconds int64, want outcome) {
		t.Helper()
		r := get("/orders", bear(token))
		r.Now = now + seconds
		w.expect(name, r, want)
	}
	good := allow("oauth", "web")
	s.knows("long", answer())
	s.knows("short", answer(`"exp":1900000010`))
	at("first", "long", 0, good)
	at("again", "long", 29, good)
	calls("within cache_ttl", 1)
	at("after", "long", 30, good)
	calls("after cache_ttl", 1)
	s.knows("long", `{"active":false}`)
	at("still remembered", "long", 59, good)
	at("no longer", "long", 60, deny(denial.InvalidToken))
	calls("after it became inactive", 1)

	at("short", "short", 0, good)
	at("at exp", "short", 10, deny(denial.TokenExpired))
	calls("within exp", 1)

	at("inactive", "unknown", 0, deny(denial.InvalidToken))
	s.knows("unknown", answer())
	at("inactive, remembered", "unknown", 4, deny(denial.InvalidToken))
	calls("negative", 1)
	at("inactive, forgotten", "unknown", 5, good)
	calls("negative, after", 1)

	w.compile() // the issuer anew: another generation
	at("another generation", "unknown", 6, good)
	calls("another generation", 1)

	stats := tokens.Stats().Introspected
	if stats.Hits != 3 || stats.NegativeHits != 1 || stats.Entries == 0 || stats.Bytes == 0 || stats.Outcomes[introspect.Active] != 5 || stats.Outcomes[introspect.Inactive] != 2 {
		t.Errorf("%+v", stats)
	}

	at("inactive", "other", 6, deny(denial.InvalidToken))
	s.knows("other", answer())
	w.compile()
	at("inactive, of another generation", "other", 6, good)
	s.calls.Store(0)

	w.put(strings.Replace(s.issuer("opaque"), "timeout: 0.5s", "cache_ttl: 0s", 1))
	at("no cache", "unknown", 7, good)
	at("no cache", "unknown", 7, good)
	calls("cache_ttl 0s", 2)
}

// What one issuer vouches for is nothing to another, under the same token.
func TestIntrospectionIsPerIssuer(t *testing.T) {
	one, two := newIDP(t), newIDP(t)
	second := `
kind: Api
id: second
name: Second
version: 1.0.0
context_path: /second
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
---
kind: Plan
id: second
api: second
security: OAUTH2
status: PUBLISHED
require_subscription: false
oauth2: {issuers: [other]}
`
	w := newWorld(t, common, api, opaqueApp, one.issuer("opaque"), two.issuer("other"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"), second)
	one.knows("t", answer())
	for range 2 {
		w.expect("vouched for", get("/orders", bear("t")), allow("oauth", "web"))
		w.expect("not by this one", get("/second", bear("t")), deny(denial.InvalidToken))
	}
	two.knows("u", answer())
	w.expect("unknown client", get("/second", bear("u")), allow("second", ""))
	w.expect("not by the first", get("/orders", bear("u")), deny(denial.InvalidToken))

	// Both on one Api: the second is asked when the first does not know the token.
	w.put(plan("also", "OAUTH2", "oauth2: {issuers: [other]}", "require_subscription: false", "order: 1"))
	w.expect("first", get("/orders", bear("t")), allow("oauth", "web"))
	w.expect("second", get("/orders", bear("u")), allow("also", ""))
	one.knows("e", answer(`"exp":1899999000`))
	two.knows("e", answer())
	w.expect("what has expired is not asked about elsewhere", get("/orders", bear("e")), deny(denial.TokenExpired))
	one.responds(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	two.knows("v", answer())
	w.expect("first is down", get("/orders", bear("v")), allow("also", ""))
	w.expect("first is down, and the second does not know", get("/orders", bear("x")), deny(denial.IntrospectionUnavailable))
}

func TestRevocationOfIntrospectedTokens(t *testing.T) {
	revocations := map[string]string{
		"hash":    "token_sha256: " + sha("t"),
		"client":  "issuer: opaque\nclient_id: opaque-app\nissued_before: " + date(now),
		"subject": "issuer: opaque\nsubject: alice\nissued_before: " + date(now),
		"jti":     "issuer: opaque\njti: j7",
	}
	for name, r := range revocations {
		s := newIDP(t)
		w := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
		s.knows("t", answer(`"sub":"alice","jti":"j7","iat":1899999990`))
		w.expect(name+": before", get("/orders", bear("t")), allow("oauth", "web"))
		w.fold("kind: Revocation\nid: r\n" + r)
		w.expect(name, get("/orders", bear("t")), deny(denial.TokenRevoked))
		w.remove(pb.Kind_KIND_REVOCATION, "r")
		w.expect(name+": after", get("/orders", bear("t")), allow("oauth", "web"))
	}
}

// TestJWTAndOAuth2 is the order of the contract: a JWT that a JWT plan's issuer
// seems to have made is that plan's to judge; what is none goes on.
func TestJWTAndOAuth2(t *testing.T) {
	s := newIDP(t)
	world := []string{
		common, api, opaqueApp, s.issuer("opaque", "keys: {hmac_secrets: [{value: "+secret+"}]}"),
		plan("jwt", "JWT", acme), subscribed("mobile", "jwt"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"),
	}
	encode := base64.RawURLEncoding.EncodeToString
	forged := strings.Join(append(strings.Split(token(), ".")[:2], encode(make([]byte, 32))), ".")
	malformed := encode([]byte(`{"alg":"HS256","crit":["x"]}`)) + "." + encode([]byte(`{"iss":"https://acme.test"}`)) + "." + encode(make([]byte, 32))
	none := encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(`{"iss":"https://acme.test"}`)) + "."
	elsewhere := tokenOf("https://elsewhere.test", "x")
	ofOpaque := tokenOf("https://opaque.test", "opaque-app")
	ofPartner := tokenOf("https://partner.test", "x")
	tests := []struct {
		name, token string
		known       bool // the server would call it active
		want        outcome
		calls       int64
	}{
		{"a good JWT", token(), true, allow("jwt", "mobile"), 0},
		{"a bad signature", forged, true, deny(denial.InvalidToken), 0},
		{"expired", token(`"exp":1899999000`), true, deny(denial.TokenExpired), 0},
		{"malformed", malformed, true, deny(denial.InvalidToken), 0},
		{"alg none", none, true, deny(denial.InvalidToken), 0},
		{"opaque", "0paque", true, allow("oauth", "web"), 1},
		{"opaque with dots", "a.b.c", true, allow("oauth", "web"), 1},
		{"five parts", "e30.e30.e30.e30.e30", true, allow("oauth", "web"), 1},
		{"opaque, not known", "junk", false, deny(denial.InvalidToken), 1},
		{"a JWT from elsewhere", elsewhere, true, allow("oauth", "web"), 1},
		{"a JWT of the OAUTH2 issuer", ofOpaque, true, allow("oauth", "web"), 1},
		{"the same, not active", tokenOf("https://opaque.test", "opaque-app", `"jti":"2"`), false, deny(denial.InvalidToken), 1},
		{"an identity token, of which the server does not say so", tokenOf("https://opaque.test", "opaque-app", `"typ":"ID"`), true, deny(denial.InvalidToken), 0},
		{"a JWT of a third issuer is not shown around", ofPartner, true, deny(denial.InvalidToken), 0},
		{"a JWT without subscription is not shown around", tokenOf("https://acme.test", "desktop-app"), true, deny(denial.SubscriptionNotFound), 0},
	}
	for _, tt := range tests {
		w := newWorld(t, world...)
		if tt.known {
			s.knows(tt.token, answer())
		}
		s.calls.Store(0)
		w.expect(tt.name, get("/orders", bear(tt.token)), tt.want)
		if got := s.calls.Load(); got != tt.calls {
			t.Errorf("%s: the server was asked %d times, want %d", tt.name, got, tt.calls)
		}
		trace, err := w.pipeline.Explain(w.view, get("/orders", bear(tt.token)), &pipeline.Decision{})
		if (err == nil) != (tt.want.denial == nil) {
			t.Errorf("%s: explained %v", tt.name, err)
		}
		if text, _ := json.Marshal(trace); strings.Contains(string(text), tt.token) || strings.Contains(string(text), "s cret") {
			t.Errorf("%s: a secret is in %s", tt.name, text)
		}
	}
	lenient := strings.Replace(strings.Join(world, "\n---\n"), "issuer: https://opaque.test", "issuer: https://opaque.test\naccept: [ID_TOKEN]", 1)
	newWorld(t, lenient).expect("an identity token that the issuer accepts", get("/orders", bear(tokenOf("https://opaque.test", "opaque-app", `"typ":"ID"`))), allow("oauth", "web"))
	// One issuer for both plans: what its keys have not signed is not asked about.
	w := newWorld(t, append(world, plan("same", "JWT", "jwt: {issuers: [opaque]}"), subscribed("web", "same"))...)
	bad := strings.Join(append(strings.Split(ofOpaque, ".")[:2], encode(make([]byte, 32))), ".")
	s.knows(bad, answer())
	s.calls.Store(0)
	w.expect("forged, of the issuer of both", get("/orders", bear(bad)), deny(denial.InvalidToken))
	w.expect("expired, of the issuer of both", get("/orders", bear(tokenOf("https://opaque.test", "opaque-app", `"exp":1899999000`))), deny(denial.TokenExpired))
	w.expect("good, of the issuer of both", get("/orders", bear(ofOpaque)), allow("same", "web"))
	if s.calls.Load() != 0 {
		t.Error("a JWT that its own plan had judged was introspected")
	}
	// Without the OAUTH2 plan in the way, a JWT plan judges all.
	w = newWorld(t, common, api, plan("jwt", "JWT", acme), subscribed("mobile", "jwt"))
	w.expect("expired, of an issuer that the plan does not trust", get("/orders", bear(tokenOf("https://partner.test", "x", `"exp":1899999000`))), deny(denial.TokenExpired))
}

func TestIntrospectionIsSharedAndBroken(t *testing.T) {
	s := newIDP(t)
	release := make(chan struct{})
	s.responds(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer())
	})
	tokens := authn.New(authn.Config{})
	w := newWorld(t, common, api, opaqueApp, strings.Replace(s.issuer("opaque"), "0.5s", "5s", 1), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
	w.pipeline = pipeline.New(tokens, restrict.NewStore(0))
	var requests sync.WaitGroup
	for range 200 {
		requests.Go(func() { w.expect("shared", get("/orders", bear("t")), allow("oauth", "web")) })
	}
	for tokens.Stats().Introspected.Misses < 200 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	requests.Wait()
	if got := s.calls.Load(); got != 1 {
		t.Errorf("200 requests with one token asked %d times", got)
	}

	// A server that fails is not asked for long.
	s.responds(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s.calls.Store(0)
	for i := range 100 {
		w.expect("broken", get("/orders", bear(fmt.Sprintf("b%d", i))), deny(denial.IntrospectionUnavailable))
	}
	if got := s.calls.Load(); got != 5 {
		t.Errorf("a server that fails was asked %d times", got)
	}
	if stats := tokens.Stats().Introspected; stats.OpenCircuits != 1 || stats.Openings != 1 || stats.Outcomes[introspect.Open] != 95 {
		t.Errorf("%+v", stats)
	}
	w.expect("what is remembered goes on", get("/orders", bear("t")), allow("oauth", "web"))
}

// A flood of made-up tokens from one address does not keep those of others waiting.
func TestIntrospectionTakesTurnsByAddress(t *testing.T) {
	const atATime, waiting = 64, 100
	s := newIDP(t)
	permits := make(chan struct{})
	open := sync.OnceFunc(func() { close(permits) })
	t.Cleanup(open) // before the server closes
	s.responds(func(w http.ResponseWriter, _ *http.Request) {
		<-permits
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer())
	})
	w := newWorld(t, common, api, opaqueApp, strings.Replace(s.issuer("opaque"), "0.5s", "30s", 1), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
	tokens := authn.New(authn.Config{})
	w.pipeline = pipeline.New(tokens, restrict.NewStore(0))
	var flood sync.WaitGroup
	for i := range atATime + waiting {
		flood.Go(func() { _, _ = w.decide(get("/orders", bear(fmt.Sprint("made-up", i)))) })
	}
	for tokens.Stats().Introspected.Misses < atATime+waiting || s.calls.Load() < atATime {
		time.Sleep(time.Millisecond)
	}
	good := make(chan error, 1)
	go func() {
		r := get("/orders", bear("good"))
		r.Address = netip.MustParseAddr("198.51.100.1")
		_, err := w.decide(r)
		good <- err
	}()
	answered := 0
	for done := false; !done; {
		select {
		case err := <-good:
			if err != nil {
				t.Error(err)
			}
			done = true
		case permits <- struct{}{}:
			answered++
			time.Sleep(5 * time.Millisecond)
		}
	}
	if answered > atATime+20 {
		t.Errorf("%d of the flood were answered first", answered)
	}
	open()
	flood.Wait()
}
