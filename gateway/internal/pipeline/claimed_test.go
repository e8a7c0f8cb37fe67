package pipeline_test

import (
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// wso2 is an issuer whose tokens list what their client is subscribed to.
const wso2 = `
kind: Issuer
id: wso2
issuer: https://wso2.test
subscription_claim: subscribedAPIs
keys: {hmac_secrets: [{value: ` + secret + `}]}
`

const (
	listed   = `"subscribedAPIs":[{"name":"Orders","context":"/orders/1.0.0","version":"1.0.0","subscriptionTier":"Gold"}]`
	unlisted = `"subscribedAPIs":[{"name":"Other","context":"/other/1.0.0","version":"1.0.0"}]`
)

func listing(claims ...string) string {
	return "Authorization: Bearer " + tokenOf("https://wso2.test", "mobile-app", claims...)
}

func TestSubscriptionClaim(t *testing.T) {
	rules := "jwt: {issuers: [acme, wso2, open], scopes: {all: [read]}}"
	w := newWorld(t, common, wso2, api, plan("jwt", "JWT", rules), `
kind: Application
id: phone
name: Phone
clients: [{issuer: wso2, client_id: phone-app}]
`, subscribed("phone", "jwt"))
	read := `"scope":"read"`
	w.expect("listed", get("/orders", listing(listed, read)), allow("jwt", ""))
	w.expect("not listed", get("/orders", listing(unlisted, read)), deny(denial.SubscriptionNotFound))
	w.expect("no list", get("/orders", listing(read)), deny(denial.SubscriptionNotFound))
	w.expect("malformed", get("/orders", listing(`"subscribedAPIs":"Orders"`, read)), deny(denial.SubscriptionNotFound))
	w.expect("the rules still count", get("/orders", listing(listed)), deny(denial.InsufficientScope))
	w.expect("a token of another issuer", get("/orders", bearer(listed, read)), deny(denial.SubscriptionNotFound))
	w.expect("an issuer whose clients need no subscription", get("/orders", "Authorization: Bearer "+tokenOf("https://open.test", "x", unlisted, read)), allow("jwt", ""))
	known := "Authorization: Bearer " + tokenOf("https://wso2.test", "phone-app", read)
	w.expect("the claim stands in place of subscriptions", get("/orders", known), deny(denial.SubscriptionNotFound))
	d := w.expect("the application is known nevertheless", get("/orders", "Authorization: Bearer "+tokenOf("https://wso2.test", "phone-app", read, listed)), allow("jwt", "phone"))
	if d.Token == nil || d.Token.Issuer.SubscriptionClaim() != "subscribedAPIs" {
		t.Errorf("token %+v", d.Token)
	}

	w.fold("kind: Revocation\nid: r\nissuer: wso2\njti: j1")
	w.expect("revoked", get("/orders", listing(listed, read)), deny(denial.TokenRevoked))
	w.expect("another one", get("/orders", listing(listed, read, `"jti":"j2"`)), allow("jwt", ""))
	w.put(strings.Replace(plan("jwt", "JWT", rules), "PUBLISHED", "CLOSED", 1))
	w.expect("the plan is closed", get("/orders", listing(listed, read, `"jti":"j2"`)), deny(denial.MissingCredentials))
}

// What a token lists is worked out for one Api as it is deployed, not for others.
func TestSubscriptionClaimIsRememberedPerApi(t *testing.T) {
	other := strings.NewReplacer("id: orders", "id: other", "/orders", "/other", "name: Orders", "name: Other").Replace(api)
	w := newWorld(t, wso2, api, plan("a", "JWT", "jwt: {issuers: [wso2]}"),
		other, strings.Replace(plan("b", "JWT", "jwt: {issuers: [wso2]}"), "api: orders", "api: other", 1))
	for range 2 {
		w.expect("listed", get("/orders", listing(listed)), allow("a", ""))
		w.expect("the other", get("/other", listing(listed)), deny(denial.SubscriptionNotFound))
	}
	w.put(strings.NewReplacer("version: 1.0.0", "version: 2.0.0").Replace(api))
	w.expect("another version", get("/orders", listing(listed)), deny(denial.SubscriptionNotFound))
	w.put(strings.Replace(wso2, "subscribedAPIs", "somethingElse", 1))
	w.expect("another claim", get("/orders", listing(listed)), deny(denial.SubscriptionNotFound))
}
