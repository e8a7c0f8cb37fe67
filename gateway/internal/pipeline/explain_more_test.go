package pipeline_test

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// What an operator wants to know: which key, which rule, which subscription,
// and what the upstream would get.
func TestExplainNames(t *testing.T) {
	w := newWorld(t, common, wso2, api, plan("jwt", "JWT", `jwt: {issuers: [acme, wso2], audiences: [a], scopes: {any: [x]}, claim_rules: [{claim: tenant, equals: t}], claims_to_headers: [{claim: sub, header: X-User}]}`),
		subscribed("mobile", "jwt")+"\nends_at: "+date(now+100), subscribed("desktop", "jwt")+"\nends_at: "+date(now-100),
		`
kind: Subscription
id: before
application: mobile
plan: jwt
status: CLOSED
`)
	step := func(r *request.Request, name string) map[string]string {
		t.Helper()
		trace, _ := w.pipeline.Explain(w.view, r, &pipeline.Decision{})
		for _, s := range trace.Steps {
			if s.Name == name {
				return s.Detail
			}
		}
		t.Errorf("no step %s in %+v", name, trace.Steps)
		return nil
	}
	check := func(detail map[string]string, want ...string) {
		t.Helper()
		for i := 0; i < len(want); i += 2 {
			if detail[want[i]] != want[i+1] {
				t.Errorf("%s is %q, want %q in %v", want[i], detail[want[i]], want[i+1], detail)
			}
		}
	}
	good := get("/orders/v1/x?access_token=hidden&a=b", bearer(`"aud":"a","scope":"x"`))
	check(step(good, "token"), "issuer", "acme", "key", "keys.hmac_secrets[0]", "kid", "", "client_id", "mobile-app")
	check(step(good, "subscription"), "subscription", "mobile-jwt", "status", "ACCEPTED", "ends_at", date(now+100), "application", "mobile")
	check(step(good, "rules"), "rules", "jwt.audiences, jwt.scopes, jwt.claim_rules[0] (tenant)")
	check(step(good, "forward"), "path", "/v1/x", "set X-User", "5 bytes", "removed header", "Authorization")
	ended := get("/orders", "Authorization: Bearer "+tokenOf("https://acme.test", "desktop-app", `"aud":"a","scope":"x"`))
	check(step(ended, "subscription"), "subscription", "desktop-jwt", "ends_at", date(now-100))
	check(step(get("/orders", "Authorization: Bearer "+tokenOf("https://acme.test", "nobody", `"aud":"a"`)), "subscription"), "subscription", "", "application", "")
	check(step(get("/orders", listing(listed, `"aud":"a"`)), "subscription"), "claim", "subscribedAPIs", "subscription", "")
}
