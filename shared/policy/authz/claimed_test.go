package authz_test

import (
	"errors"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/policy/authz"
)

func TestClaimed(t *testing.T) {
	orders := authz.Target{Name: "Orders", Version: "1.0.0", Context: "/orders"}
	const entry = `{"name":"Orders","context":"/orders/1.0.0","version":"1.0.0","publisher":"admin","subscriptionTier":"Gold","subscriberTenantDomain":"carbon.super"}`
	tests := []struct {
		claims string
		target authz.Target
		want   bool
	}{
		{`{"subscribedAPIs":[` + entry + `]}`, orders, true},
		{`{"subscribedAPIs":[{"name":"Other","context":"/other/1","version":"1"},` + entry + `]}`, orders, true},
		{`{"subscribedAPIs":[{"context":"/orders"}]}`, orders, true},
		{`{"subscribedAPIs":[{"context":"/orders/1.0.0"}]}`, orders, true},
		{`{"subscribedAPIs":[{"context":"/orders","version":"*"}]}`, orders, true},
		{`{"subscribedAPIs":[{"name":"Orders","version":"1.0.0"}]}`, orders, true},
		{`{"subscribedAPIs":[{"name":"Orders","version":"*"}]}`, orders, true},
		{`{"subscribedAPIs":[{"name":"Orders","version":"*"}]}`, authz.Target{Name: "Orders", Context: "/orders"}, true},
		{`{"subscribedAPIs":[{"context":"/orders/1.0.0"}]}`, authz.Target{Context: "/orders/1.0.0", Version: "1.0.0"}, true},
		{`{"subscribedAPIs":[{"context":"/1.0.0"}]}`, authz.Target{Context: "/", Version: "1.0.0"}, true},

		{`{}`, orders, false},
		{`{"subscribedAPIs":[]}`, orders, false},
		{`{"subscribedAPIs":[{"name":"Orders"}]}`, orders, false},
		{`{"subscribedAPIs":[{"name":"orders","version":"1.0.0"}]}`, orders, false},
		{`{"subscribedAPIs":[{"name":"Orders","version":"2.0.0"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/orders","version":"2.0.0"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/orders/2.0.0"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/orders/1.0.0","version":"2.0.0"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/orders/"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/Orders"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/ordersx"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/orders/1.0.0/1.0.0"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/"}]}`, authz.Target{Context: "/orders"}, false},
		{`{"subscribedAPIs":[{"name":"Orders","version":"1.0.0"}]}`, authz.Target{Context: "/orders", Version: "1.0.0"}, false},
		{`{"subscribed":[` + entry + `]}`, orders, false},

		// One thing that cannot be understood spoils the list.
		{`{"subscribedAPIs":` + entry + `}`, orders, false},
		{`{"subscribedAPIs":"/orders"}`, orders, false},
		{`{"subscribedAPIs":["/orders"]}`, orders, false},
		{`{"subscribedAPIs":null}`, orders, false},
		{`{"subscribedAPIs":[` + entry + `,null]}`, orders, false},
		{`{"subscribedAPIs":[` + entry + `,{}]}`, orders, false},
		{`{"subscribedAPIs":[` + entry + `,{"name":1,"version":"1"}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":["/orders"]}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/orders","version":1}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"/orders","version":""}]}`, orders, false},
		{`{"subscribedAPIs":[{"context":"","name":"Orders","version":"1.0.0"}]}`, orders, false},
		{`{"subscribedAPIs":[[` + entry + `]]}`, orders, false},
	}
	for _, tt := range tests {
		err := authz.Claimed(claims(t, tt.claims), "subscribedAPIs", tt.target)
		if tt.want && err != nil || !tt.want && !errors.Is(err, denial.SubscriptionNotFound) {
			t.Errorf("%s for %+v: got %v, want %v", tt.claims, tt.target, err, tt.want)
		}
	}
}
