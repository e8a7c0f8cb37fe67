package restrict_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

const never = 1 << 40 // requests of a limit that is not reached

func BenchmarkTake(b *testing.B) {
	keyed := limit(never, time.Second)
	keyed.Key = `request.headers["x-tenant"]`
	subscribed := restrict.Subject{Application: "mobile"}
	for _, c := range []struct {
		name    string
		limits  *pb.Restrictions
		subject restrict.Subject
		want    error
	}{
		{"rate limit", &pb.Restrictions{RateLimit: limit(never, time.Second)}, subscribed, nil},
		{"quota", &pb.Restrictions{Quota: limit(never, time.Hour)}, subscribed, nil},
		{"spike arrest", &pb.Restrictions{SpikeArrest: limit(never, time.Second)}, subscribed, nil},
		{"all three", all(), subscribed, nil},
		{"by address", &pb.Restrictions{RateLimit: limit(never, time.Second)}, restrict.Subject{Address: netip.MustParseAddr("2001:db8::1")}, nil},
		{"by key", &pb.Restrictions{RateLimit: keyed}, subscribed, nil},
		{"refused", &pb.Restrictions{Quota: limit(1, time.Hour)}, subscribed, denial.QuotaExceeded},
	} {
		l, store := compile(b, c.limits), restrict.NewStore(0)
		r := fields{"x-tenant": "acme"}
		now := time.Now().UnixNano()
		_, _ = l.Take(store, c.subject, &expr.Input{Request: r}, now)
		b.Run(c.name, func(b *testing.B) {
			in := &expr.Input{Request: r}
			b.ReportAllocs()
			for b.Loop() {
				now += 1000
				if _, err := l.Take(store, c.subject, in, now); !errors.Is(err, c.want) {
					b.Fatal(err)
				}
			}
		})
	}
}

func all() *pb.Restrictions {
	return &pb.Restrictions{RateLimit: limit(never, time.Second), Quota: limit(never, time.Hour), SpikeArrest: limit(never, time.Second)}
}

func BenchmarkTakeParallel(b *testing.B) {
	l, store := compile(b, all()), restrict.NewStore(0)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		s := restrict.Subject{Application: strconv.Itoa(rand.Int())}
		now := time.Now().UnixNano()
		for p.Next() {
			now += 1000
			_, _ = l.Take(store, s, nil, now)
		}
	})
}

// BenchmarkTakeOfNewSubject is a request of somebody who was not counted before.
func BenchmarkTakeOfNewSubject(b *testing.B) {
	l, store, now := compile(b, &pb.Restrictions{RateLimit: limit(never, time.Second)}), restrict.NewStore(1000), time.Now().UnixNano()
	subjects := make([]restrict.Subject, 10_000)
	for i := range subjects {
		subjects[i].Application = "app-" + strconv.Itoa(i)
		_, _ = l.Take(store, subjects[i], nil, now)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		_, _ = l.Take(store, subjects[i], nil, now)
		if i++; i == len(subjects) {
			i = 0
		}
	}
}

func BenchmarkPermit(b *testing.B) {
	f := filter(b, &pb.ResourceFilter{
		Allow: []*pb.ResourcePattern{pattern("/v1/**", "GET", "POST")},
		Deny:  []*pb.ResourcePattern{pattern("/v1/admin/**")},
	})
	for _, c := range []struct {
		name, method, path string
		want               error
	}{
		{"allowed", "GET", "/v1/orders/7/items", nil},
		{"denied path", "GET", "/v1/admin/users", denial.ResourceForbidden},
		{"denied method", "DELETE", "/v1/orders/7/items", denial.MethodNotAllowed},
	} {
		b.Run(c.name, func(b *testing.B) {
			method, path := []byte(c.method), []byte(c.path)
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Permit(method, path); !errors.Is(err, c.want) {
					b.Fatal(err)
				}
			}
		})
	}
}
