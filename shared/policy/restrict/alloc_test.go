//go:build !race

package restrict_test

import (
	"net/netip"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

func TestAllowAllocatesNothing(t *testing.T) {
	c := newClock(t, &pb.Restrictions{
		RateLimit: limit(1e9, time.Second), Quota: limit(1e9, time.Hour), SpikeArrest: limit(1e9, time.Second),
		ResourceFilter: &pb.ResourceFilter{
			Allow: []*pb.ResourcePattern{pattern("/v1/**", "GET")},
			Deny:  []*pb.ResourcePattern{pattern("/**/admin/*x")},
		},
	})
	method, path := []byte("GET"), []byte("/v1/orders/7")
	subscribed := restrict.Subject{Application: "mobile"}
	anonymous := restrict.Subject{Address: netip.MustParseAddr("2001:db8::1")}
	if n := testing.AllocsPerRun(100, func() {
		if err := c.limits.Permit(method, path); err != nil {
			t.Error(err)
		}
		c.wait(time.Millisecond)
		_, errA := c.take(subscribed)
		_, errB := c.take(anonymous)
		if errA != nil || errB != nil {
			t.Error(errA, errB)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
