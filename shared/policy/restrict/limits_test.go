package restrict_test

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

func limit(requests uint64, period time.Duration) *pb.Limit {
	return &pb.Limit{Requests: requests, Period: durationpb.New(period)}
}

func compile(t testing.TB, r *pb.Restrictions) *restrict.Limits {
	t.Helper()
	l, faults := restrict.Compile("plan", r)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return l
}

// clock is a caller with its own idea of the time.
type clock struct {
	t      testing.TB
	store  *restrict.Store
	limits *restrict.Limits
	now    time.Time
}

func newClock(t testing.TB, r *pb.Restrictions) *clock {
	t.Helper()
	return &clock{t, restrict.NewStore(0), compile(t, r), time.Date(2030, 1, 1, 0, 0, 0, 123, time.UTC)}
}

func (c *clock) take(s restrict.Subject) (restrict.Refusal, error) {
	return c.limits.Take(c.store, s, nil, c.now.UnixNano())
}

// passes counts how many of n requests pass at once.
func (c *clock) passes(n int) int {
	passed := 0
	for range n {
		if _, err := c.take(restrict.Subject{Application: "mobile"}); err == nil {
			passed++
		}
	}
	return passed
}

func (c *clock) want(n, wanted int) {
	c.t.Helper()
	if got := c.passes(n); got != wanted {
		c.t.Errorf("at %s: %d of %d passed, want %d", c.now.Format("15:04:05.000"), got, n, wanted)
	}
}

func (c *clock) wait(d time.Duration) { c.now = c.now.Add(d) }

func TestRateLimit(t *testing.T) {
	c := newClock(t, &pb.Restrictions{RateLimit: limit(10, time.Second)})
	c.want(12, 10)
	r, err := c.take(restrict.Subject{Application: "mobile"})
	if err != denial.RateLimited || !r.Limited() {
		t.Fatalf("got %v, %+v", err, r)
	}
	if got := string(r.AppendRateLimit(nil)); got != `"rate_limit";r=0;t=2` && got != `"rate_limit";r=0;t=1` {
		t.Errorf("RateLimit: %s", got)
	}
	if got := r.RateLimitPolicy(); got != `"rate_limit";q=10;w=1` {
		t.Errorf("RateLimit-Policy: %s", got)
	}
	c.wait(900 * time.Millisecond)
	c.want(1, 0)
	c.wait(200 * time.Millisecond)
	c.want(12, 10)
}

// TestRateLimitInAnySpan: never more than the limit in any span of the period,
// and the limit is not much stricter than that.
func TestRateLimitInAnySpan(t *testing.T) {
	const requests, period = 50, time.Second
	c := newClock(t, &pb.Restrictions{RateLimit: limit(requests, period)})
	rnd := rand.New(rand.NewPCG(1, 2))
	var passed []time.Time
	start := c.now
	for range 20_000 {
		c.wait(time.Duration(rnd.Int64N(int64(4 * time.Millisecond))))
		if _, err := c.take(restrict.Subject{Application: "a"}); err == nil {
			passed = append(passed, c.now)
		}
	}
	for i := requests; i < len(passed); i++ {
		if span := passed[i].Sub(passed[i-requests]); span <= period {
			t.Fatalf("%d requests within %v", requests+1, span)
		}
	}
	if perSecond := float64(len(passed)) / c.now.Sub(start).Seconds(); perSecond < 0.9*requests {
		t.Errorf("only %.1f requests per second pass of %d", perSecond, requests)
	}
}

func TestQuota(t *testing.T) {
	c := newClock(t, &pb.Restrictions{Quota: limit(3, 24*time.Hour)})
	c.want(1, 1)
	c.wait(23 * time.Hour)
	c.want(5, 2)
	r, err := c.take(restrict.Subject{Application: "mobile"})
	if err != denial.QuotaExceeded || r.RetryAfter() != 3600 {
		t.Errorf("got %v, retry after %d", err, r.RetryAfter())
	}
	if got := string(r.AppendRateLimit(nil)); got != `"quota";r=0;t=3600` {
		t.Errorf("RateLimit: %s", got)
	}
	c.wait(time.Hour - time.Nanosecond)
	c.want(1, 0)
	c.wait(time.Nanosecond)
	c.want(5, 3) // a new window, opened by its first request
	c.wait(23 * time.Hour)
	c.want(1, 0)
}

func TestSpikeArrest(t *testing.T) {
	c := newClock(t, &pb.Restrictions{SpikeArrest: limit(2, time.Second)})
	c.want(2, 1)
	r, err := c.take(restrict.Subject{Application: "mobile"})
	if err != denial.SpikeArrested || r.RetryAfter() != 1 || !strings.HasPrefix(string(r.AppendRateLimit(nil)), `"spike_arrest";`) {
		t.Errorf("got %v, %+v", err, r)
	}
	c.wait(499 * time.Millisecond)
	c.want(1, 0)
	c.wait(time.Millisecond)
	c.want(2, 1)
	c.wait(time.Hour) // nothing is saved up
	c.want(2, 1)
}

func TestSpikeArrestLetsGrainPass(t *testing.T) {
	c := newClock(t, &pb.Restrictions{SpikeArrest: limit(100, time.Second)})
	c.want(100, 10)
	total := 0
	for range 1000 {
		c.wait(time.Millisecond)
		total += c.passes(3)
	}
	if total < 98 || total > 100 {
		t.Errorf("%d requests passed in a second, want 100", total)
	}
}

func TestRefusedRequestsAreNotCounted(t *testing.T) {
	c := newClock(t, &pb.Restrictions{SpikeArrest: limit(1, time.Second), Quota: limit(3, time.Hour), RateLimit: limit(100, time.Minute)})
	for range 3 {
		c.want(50, 1)
		c.wait(time.Second)
	}
	r, err := c.take(restrict.Subject{Application: "mobile"})
	if err != denial.QuotaExceeded {
		t.Errorf("got %v, want %v", err, denial.QuotaExceeded)
	}
	if got := r.RateLimitPolicy(); got != `"spike_arrest";q=1;w=1, "rate_limit";q=100;w=60, "quota";q=3;w=3600` {
		t.Errorf("RateLimit-Policy: %s", got)
	}
	c.wait(time.Hour)
	c.want(1, 1)
}

func TestKeys(t *testing.T) {
	address := func(a string) restrict.Subject { return restrict.Subject{Address: netip.MustParseAddr(a)} }
	app := func(a string) restrict.Subject {
		return restrict.Subject{Application: a, Address: netip.MustParseAddr("192.0.2.1")}
	}
	tests := []struct {
		name          string
		first, second restrict.Subject
		same          bool
	}{
		{"one application", app("a"), app("a"), true},
		{"two applications at one address", app("a"), app("b"), false},
		{"application, and its address without one", app("a"), address("192.0.2.1"), false},
		{"one address", address("192.0.2.1"), address("192.0.2.1"), true},
		{"mapped address", address("192.0.2.1"), address("::ffff:192.0.2.1"), true},
		{"two addresses", address("192.0.2.1"), address("192.0.2.2"), false},
		{"two addresses of one IPv6 network", address("2001:db8::1"), address("2001:db8::ffff:2"), true},
		{"two IPv6 networks", address("2001:db8:0:1::1"), address("2001:db8:0:2::1"), false},
		{"no address at all", restrict.Subject{}, restrict.Subject{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock(t, &pb.Restrictions{Quota: limit(1, time.Hour)})
			if _, err := c.take(tt.first); err != nil {
				t.Fatal(err)
			}
			if _, err := c.take(tt.second); (err != nil) != tt.same {
				t.Errorf("second request: %v", err)
			}
		})
	}
}

func TestCustomKey(t *testing.T) {
	in := func(tenant string) *expr.Input {
		r := fields{}
		if tenant != "" {
			r["x-tenant"] = tenant
		}
		return &expr.Input{Request: r, Application: "mobile", Plan: "plan"}
	}
	l := compile(t, &pb.Restrictions{
		Quota:     &pb.Limit{Requests: 1, Period: durationpb.New(time.Hour), Key: "request.headers['x-tenant']"},
		RateLimit: limit(5, time.Hour),
	})
	if !l.NeedsInput() {
		t.Error("NeedsInput is false")
	}
	store := restrict.NewStore(0)
	steps := []struct {
		application, tenant string
		want                error
	}{
		{"mobile", "t1", nil},
		{"mobile", "t1", denial.QuotaExceeded},
		{"other", "t1", denial.QuotaExceeded}, // the tenant's, whoever asks
		{"mobile", "t2", nil},
		{"mobile", "", nil},                  // no tenant: counted for the subscription
		{"mobile", "", denial.QuotaExceeded}, // and not without limit
		{"other", "", nil},                   // each subscription's own
		{"mobile", "t3", denial.RateLimited}, // the other limit has its own key
		{"other", "mobile", nil},             // a key's value is not an application
		{"other", "t4", nil},
	}
	for i, s := range steps {
		_, err := l.Take(store, restrict.Subject{Application: s.application}, in(s.tenant), 1_900_000_000_000_000_000)
		if err != s.want {
			t.Errorf("step %d: got %v, want %v", i, err, s.want)
		}
	}
}

func TestCountersSurviveRecompilation(t *testing.T) {
	c := newClock(t, &pb.Restrictions{Quota: limit(5, time.Hour), RateLimit: limit(100, time.Minute), SpikeArrest: limit(1000, time.Second)})
	c.want(4, 4)
	c.limits = compile(t, &pb.Restrictions{Quota: limit(6, time.Hour), RateLimit: limit(200, time.Second)})
	c.want(4, 2)
	c.limits = compile(t, &pb.Restrictions{Quota: limit(3, time.Hour)})
	c.want(1, 0)
}

func TestSlowPaceDoesNotOutliveItsPlan(t *testing.T) {
	c := newClock(t, &pb.Restrictions{SpikeArrest: limit(1, 24*time.Hour)})
	c.want(2, 1)
	c.limits = compile(t, &pb.Restrictions{SpikeArrest: limit(1, time.Second)})
	c.want(1, 0)
	c.wait(time.Second)
	c.want(2, 1)
}

func TestClockGoingBack(t *testing.T) {
	c := newClock(t, &pb.Restrictions{Quota: limit(4, time.Hour), RateLimit: limit(2, time.Minute)})
	c.want(3, 2)
	c.wait(-30 * time.Minute)
	c.want(3, 0)
	c.wait(32 * time.Minute)
	c.want(3, 2)
}

func TestStoreIsBounded(t *testing.T) {
	store := restrict.NewStore(1000)
	l := compile(t, &pb.Restrictions{Quota: limit(1, time.Hour)})
	now := int64(1_900_000_000_000_000_000)
	for i := range 20_000 {
		_, _ = l.Take(store, restrict.Subject{Application: strconv.Itoa(i)}, nil, now)
	}
	if n := store.Len(); n > 1000 {
		t.Errorf("%d counters, want at most 1000", n)
	}
	if store.Evicted() == 0 {
		t.Error("evictions are not counted")
	}
}

func TestStoreForgetsWhatHasEnded(t *testing.T) {
	store := restrict.NewStore(100_000)
	l := compile(t, &pb.Restrictions{RateLimit: limit(10, time.Second)})
	now := int64(1_900_000_000_000_000_000)
	for i := range 20_000 {
		now += int64(2 * time.Millisecond)
		_, _ = l.Take(store, restrict.Subject{Application: strconv.Itoa(i)}, nil, now)
	}
	// About 530 of them are younger than the window.
	if n := store.Len(); n > 2000 {
		t.Errorf("%d counters are kept", n)
	}
	if store.Evicted() != 0 {
		t.Errorf("%d live counters were dropped", store.Evicted())
	}
}

func TestConcurrentTakes(t *testing.T) {
	store := restrict.NewStore(0)
	l := compile(t, &pb.Restrictions{Quota: limit(1000, time.Hour), RateLimit: limit(5000, time.Hour)})
	var wg sync.WaitGroup
	var passed [8]int
	for w := range passed {
		wg.Go(func() {
			for range 500 {
				if _, err := l.Take(store, restrict.Subject{Application: "a"}, nil, 1_900_000_000_000_000_000); err == nil {
					passed[w]++
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range passed {
		total += n
	}
	if total != 1000 {
		t.Errorf("%d requests passed, want 1000", total)
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct {
		in   *pb.Restrictions
		want string
	}{
		{&pb.Restrictions{Quota: &pb.Limit{Requests: 1, Period: durationpb.New(1), Key: "request."}}, "restrictions.quota.key: "},
	}
	for _, tt := range tests {
		l, faults := restrict.Compile("p", tt.in)
		if len(faults) != 1 || l != nil || !strings.HasPrefix(faults.Error(), tt.want) {
			t.Errorf("got %v, %v, want %q", l, faults, tt.want)
		}
	}
}

func TestNoRestrictions(t *testing.T) {
	for _, in := range []*pb.Restrictions{nil, {}} {
		l := compile(t, in)
		if _, err := l.Take(restrict.NewStore(0), restrict.Subject{}, nil, 1); err != nil || l.Permit([]byte("GET"), []byte("/")) != nil || l.Counts() || l.NeedsInput() {
			t.Errorf("%v restricts", in)
		}
	}
}

func TestLookCountsNothing(t *testing.T) {
	c := newClock(t, &pb.Restrictions{RateLimit: limit(2, time.Hour), Quota: limit(2, time.Hour)})
	look := func() error {
		_, err := c.limits.Look(c.store, restrict.Subject{Application: "mobile"}, nil, c.now.UnixNano())
		return err
	}
	for range 5 {
		if err := look(); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.store.Len(); n != 0 {
		t.Errorf("%d counters", n)
	}
	c.want(3, 2)
	if err := look(); err != denial.RateLimited {
		t.Errorf("got %v, want %v", err, denial.RateLimited)
	}
}

func TestExtremes(t *testing.T) {
	for _, requests := range []uint64{1, 1 << 31, 1 << 33, 1<<64 - 1} {
		for _, period := range []time.Duration{1, time.Millisecond, 290 * 365 * 24 * time.Hour} {
			c := newClock(t, &pb.Restrictions{RateLimit: limit(requests, period), Quota: limit(requests, period), SpikeArrest: limit(requests, period)})
			c.want(1, 1)
			c.wait(time.Hour)
			c.passes(3)
		}
	}
}

// fields is a request by its header fields, with names in lower case.
type fields map[string]string

func (f fields) Header(name string) (string, bool) {
	value, ok := f[strings.ToLower(name)]
	return value, ok
}
func (fields) Query(string) (string, bool)  { return "", false }
func (fields) Cookie(string) (string, bool) { return "", false }
func (fields) Method() string               { return "GET" }
func (fields) Path() string                 { return "/" }
func (fields) Host() string                 { return "api.test" }
func (fields) ClientIP() string             { return "192.0.2.7" }
