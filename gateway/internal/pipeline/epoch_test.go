package pipeline_test

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

// What ended in 1970 or before has ended. Inside, 0 stands for what does not end.
func TestWhatEndedLongAgoHasEnded(t *testing.T) {
	ended := []string{"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.5Z", "1970-01-01T00:00:01Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"}
	const keyPlan = "kind: Plan\nid: orders-jwt\napi: orders\nsecurity: API_KEY\nstatus: PUBLISHED"
	for _, at := range ended {
		w := newWorld(t, common, orders)
		r := get("/orders/1", bearer())
		w.expect("a subscription without an end", r, allow("orders-jwt", "mobile"))
		w.fold("kind: Subscription\nid: mobile-orders\napplication: mobile\nplan: orders-jwt\nstatus: ACCEPTED\nends_at: " + at)
		w.expect("a subscription that ended at "+at, r, deny(denial.SubscriptionInactive))
		w.fold("kind: Subscription\nid: mobile-orders\napplication: mobile\nplan: orders-jwt\nstatus: ACCEPTED\nstarts_at: " + at)
		w.expect("a subscription that began at "+at, r, allow("orders-jwt", "mobile"))

		w = newWorld(t, common, orders, keyPlan)
		key := get("/orders/1", "X-Api-Key: hello")
		w.expect("a key without an end", key, allow("orders-jwt", "mobile"))
		w.fold("kind: Application\nid: mobile\nname: Mobile\napi_keys: [{id: k1, sha256: " + keyHash + ", expires_at: " + at + "}]")
		w.expect("a key that expired at "+at, key, deny(denial.InvalidAPIKey))

		w = newWorld(t, common, orders)
		w.fold("kind: Revocation\nid: r\nissuer: acme\njti: j1\nexpires_at: " + at)
		w.expect("a revocation that ended at "+at, r, allow("orders-jwt", "mobile"))
		w.fold("kind: Revocation\nid: r\nissuer: acme\nsubject: alice\nissued_before: " + at)
		w.expect("a revocation of what was issued before "+at, r, allow("orders-jwt", "mobile"))
	}
}

func TestTokensThatEndedLongAgo(t *testing.T) {
	w := newWorld(t, common, orders, "kind: Issuer\nid: acme\nissuer: https://acme.test\nrequire_expiry: false\nkeys: {hmac_secrets: [{value: "+secret+"}]}")
	s := newIDP(t)
	introspected := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
	for exp, want := range map[string]*denial.Denial{"0": denial.TokenExpired, "0.5": denial.TokenExpired, "1": denial.TokenExpired, "-1": denial.InvalidToken} {
		w.expect("exp "+exp, get("/orders/1", bearer(`"exp":`+exp)), deny(want))
		s.knows("t"+exp, answer(`"exp":`+exp))
		_, err := (&world{t: t, view: introspected.view, pipeline: pipeline.New(authn.New(authn.Config{}), restrict.NewStore(0))}).decide(get("/orders", bear("t"+exp)))
		if err == nil {
			t.Errorf("an introspected token with exp %s is accepted", exp)
		}
	}
	w.expect("exp null", get("/orders/1", bearer(`"exp":null`)), allow("orders-jwt", "mobile"))
}
