package restrict

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Limits are the compiled restrictions of one plan. Immutable, safe for
// concurrent use. The nil Limits restrict nothing.
type Limits struct {
	filter *Filter
	groups []group
	policy string // the RateLimit-Policy header
}

// group is the limits that have the same key, and therefore one counter.
type group struct {
	id     uint64
	source string
	key    *expr.Value // nil: the default key
	limits []limit     // in the order in which they are checked
}

// limit is one number of requests in a period.
type limit struct {
	kind     kind
	requests uint64
	period   int64 // ns
	interval int64 // ns: of the window's slices, or between requests
	burst    int64 // ns: by how much requests may come early
	denial   *denial.Denial
}

type kind uint8

const (
	spike kind = iota
	rate
	quota
)

func (k kind) String() string { return [...]string{"spike_arrest", "rate_limit", "quota"}[k] }

const (
	// spikeGrain is the time in which a plan's spike arrest does not look at the pace.
	spikeGrain = 100 * time.Millisecond
	// slots is how many counters a sliding window has; together they span one more than the period.
	slots = 16
	// maxPeriod keeps sums of times within 64 bits; longer periods count as this.
	maxPeriod = 100 * 365 * 24 * time.Hour
	// maxRate is the largest number a rate limit counts to; greater ones count as this.
	maxRate = 1<<32 - 1
)

// Compile makes the limits of a plan whose fields are sound. plan is its id: a
// changed plan with the same id goes on with the same counters. The faults are those
// of keys. Restrictions that restrict nothing give the nil Limits.
func Compile(plan string, r *pb.Restrictions) (*Limits, fault.List) {
	l := &Limits{filter: NewFilter(r.GetResourceFilter())}
	var faults fault.List
	for _, c := range []struct {
		kind   kind
		limit  *pb.Limit
		denial *denial.Denial
	}{
		{spike, r.GetSpikeArrest(), denial.SpikeArrested},
		{rate, r.GetRateLimit(), denial.RateLimited},
		{quota, r.GetQuota(), denial.QuotaExceeded},
	} {
		if c.limit == nil {
			continue
		}
		if err := l.add(plan, c.kind, c.limit, c.denial); err != nil {
			faults = append(faults, fault.Fault{Field: "restrictions." + c.kind.String() + ".key", Code: fault.Invalid, Message: err.Error()})
		}
	}
	if faults != nil || l.filter == nil && len(l.groups) == 0 {
		return nil, faults
	}
	return l, nil
}

func (l *Limits) add(plan string, k kind, in *pb.Limit, refusal *denial.Denial) error {
	period := min(in.GetPeriod().AsDuration(), maxPeriod)
	lim := limit{kind: k, requests: in.GetRequests(), period: int64(period), denial: refusal}
	switch k {
	case spike:
		// Rounded up: the pace is never above the limit.
		lim.interval = int64((uint64(period)-1)/lim.requests) + 1
		lim.burst = max(0, int64(min(spikeGrain, period))-lim.interval)
	case rate:
		lim.requests = min(lim.requests, maxRate)
		lim.interval = (lim.period-1)/(slots-1) + 1
	case quota:
	}

	at := len(l.groups)
	for i := range l.groups {
		if l.groups[i].source == in.GetKey() {
			at = i
		}
	}
	if at == len(l.groups) {
		g := group{source: in.GetKey(), id: groupID(plan, in.GetKey())}
		if g.source != "" {
			key, err := expr.LimitKey(g.source)
			if err != nil {
				return err
			}
			g.key = key
		}
		l.groups = append(l.groups, g)
	}
	l.groups[at].limits = append(l.groups[at].limits, lim)
	if l.policy != "" {
		l.policy += ", "
	}
	l.policy += strconv.Quote(k.String()) + ";q=" + strconv.FormatUint(in.GetRequests(), 10) + ";w=" + strconv.FormatInt(seconds(lim.period), 10)
	return nil
}

func groupID(plan, key string) uint64 {
	sum := sha256.Sum256([]byte(plan + "\x00" + key))
	return binary.LittleEndian.Uint64(sum[:])
}

// Subject is who a request is counted for under the default key.
type Subject struct {
	// Application is the id of the subscribed application; empty: no subscription.
	Application string
	// Address is the one that the request came from.
	Address netip.Addr
}

// Refusal has the details of a denial of this package, for the headers of the answer.
// The zero Refusal has none.
type Refusal struct {
	limits *Limits
	limit  *limit
	wait   int64 // ns
}

// Permit decides whether the plan includes method on path, the canonical path
// below the context path; see Filter.Permit.
func (l *Limits) Permit(method, path []byte) error {
	if l == nil {
		return nil
	}
	return l.filter.Permit(method, path)
}

// Methods lists what may be asked of path; see Filter.Methods.
func (l *Limits) Methods(path []byte) []string {
	if l == nil {
		return standardMethods
	}
	return l.filter.Methods(path)
}

// Counts reports whether the plan has limits to be taken from.
func (l *Limits) Counts() bool { return l != nil && len(l.groups) > 0 }

// NeedsInput reports whether a limit has its own key, so that Take needs an input.
func (l *Limits) NeedsInput() bool {
	if l == nil {
		return false
	}
	for i := range l.groups {
		if l.groups[i].key != nil {
			return true
		}
	}
	return false
}

// Take counts a request at now (nanoseconds since 1970) in store, or refuses it
// with denial.SpikeArrested, RateLimited or QuotaExceeded; the Refusal then says
// when to come again. in is only read if NeedsInput.
// Under the default key, and once a subject has been seen, it does not allocate.
func (l *Limits) Take(store *Store, subject Subject, in *expr.Input, now int64) (Refusal, error) {
	return l.take(store, subject, in, now, true)
}

// Look answers as Take would, and counts nothing.
func (l *Limits) Look(store *Store, subject Subject, in *expr.Input, now int64) (Refusal, error) {
	return l.take(store, subject, in, now, false)
}

func (l *Limits) take(store *Store, subject Subject, in *expr.Input, now int64, count bool) (Refusal, error) {
	if l == nil {
		return Refusal{}, nil
	}
	for i := range l.groups {
		g := &l.groups[i]
		refused, wait := store.take(g, g.subject(store, subject, in), now, count)
		if refused != nil {
			return Refusal{limits: l, limit: refused, wait: wait}, refused.denial
		}
	}
	return Refusal{}, nil
}

// subject hashes what a request is counted for. The kinds of key are kept apart.
func (g *group) subject(store *Store, s Subject, in *expr.Input) uint64 {
	const ofApplication, ofAddress, ofKey = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9
	if g.key != nil && in != nil {
		if value, err := g.key.Eval(*in); err == nil && value != "" {
			return store.hash(value) ^ ofKey
		}
	}
	if s.Application != "" {
		return store.hash(s.Application) ^ ofApplication
	}
	address := s.Address.Unmap().As16()
	if s.Address.Unmap().Is6() {
		clear(address[8:])
	}
	return store.hashBytes(address[:]) ^ ofAddress
}

// Limited reports whether the refusal came from a limit.
func (r Refusal) Limited() bool { return r.limit != nil }

// RetryAfter is the Retry-After header: whole seconds, at least one.
func (r Refusal) RetryAfter() int64 { return seconds(r.wait) }

// RateLimitPolicy is the RateLimit-Policy header: every limit of the plan with
// its number (q) and its period in seconds (w), as in the IETF draft
// draft-ietf-httpapi-ratelimit-headers-10.
func (r Refusal) RateLimitPolicy() string {
	if r.limits == nil {
		return ""
	}
	return r.limits.policy
}

// AppendRateLimit appends the RateLimit header of the same draft: the limit that
// refused, nothing remaining (r), and in how many seconds there will be (t).
func (r Refusal) AppendRateLimit(dst []byte) []byte {
	if r.limit == nil {
		return dst
	}
	dst = strconv.AppendQuote(dst, r.limit.kind.String())
	dst = append(dst, ";r=0;t="...)
	return strconv.AppendInt(dst, seconds(r.wait), 10)
}

// seconds rounds nanoseconds up to whole seconds, at least one.
func seconds(ns int64) int64 { return max(1, (ns-1)/int64(time.Second)+1) }
