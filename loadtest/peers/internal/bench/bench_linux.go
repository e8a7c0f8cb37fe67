package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/account"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/contend"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/load"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/world"
)

// Bench is everything that workloads need. All fields but those marked are needed.
type Bench struct {
	Stand *contend.Stand
	World *world.World
	Wrk   *load.Wrk
	Roles load.Roles
	// Field is who takes part, by name.
	Field map[string]*contend.Contender
	// Gateways are the names that stand in for "gateway"; more than one compares builds.
	Gateways []string
	// Only keeps these contenders; empty: all.
	Only []string
	// Rounds and Seconds in place of a workload's; 0: the workload's.
	Rounds, Seconds int
	// Warm is the time of load before each measurement.
	Warm   time.Duration
	Random *rand.Rand
	Say    func(format string, args ...any)
	// Half is the rate of half of the bare proxy's saturation, once known; requests each second.
	Half   float64
	Commit string
}

// disturbed is the part of a processor that others may use before figures are doubtful.
const disturbed = 0.05

// entrant is a contender in one workload.
type entrant struct {
	*contend.Contender
	requests load.Requests
	series   *figures.Series
	used     int // of the tokens
	denied   bool
	churn    bool // changes are applied while it is measured
}

// Run runs one workload. Without any contender left it does nothing, and returns nil.
func (b *Bench) Run(ctx context.Context, w Workload) (*figures.Workload, error) {
	w = b.adapt(w)
	if len(w.Contenders) == 0 {
		return nil, nil //nolint:nilnil // nothing to run is no fault, and there is no result
	}
	result := &figures.Workload{Name: w.Name, Title: w.Title, When: time.Now(), Commit: b.Commit, Seconds: w.Seconds}
	if w.Mode != Saturate {
		if err := b.halve(ctx, result); err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	b.Say("%s: %s — %d rounds of %d s", w.Name, w.Title, w.Rounds, w.Seconds)
	var entrants []*entrant
	defer func() {
		for _, e := range entrants {
			_ = e.Stop(context.WithoutCancel(ctx)) // one that had to be killed has been measured all the same
		}
	}()
	for _, name := range w.Contenders { // one after the other, so that none disturbs another's start
		e, err := b.enter(ctx, w, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name, err)
		}
		entrants = append(entrants, e)
	}
	if w.Mode == Churn {
		entrants = b.disturb(entrants)
	}
	for _, e := range entrants {
		result.Series = append(result.Series, e.series)
	}
	if err := b.rounds(ctx, w, entrants); err != nil {
		return nil, fmt.Errorf("%s: %w", w.Name, err)
	}
	return result, nil
}

// adapt applies what the command line says.
func (b *Bench) adapt(w Workload) Workload {
	var names []string
	for _, name := range w.Contenders {
		if name == Gateway {
			names = append(names, b.Gateways...)
		} else {
			names = append(names, name)
		}
	}
	if len(b.Only) > 0 {
		names = slices.DeleteFunc(names, func(name string) bool {
			return !slices.Contains(b.Only, name) && (!slices.Contains(b.Gateways, name) || !slices.Contains(b.Only, Gateway))
		})
	}
	w.Contenders = names
	if b.Rounds > 0 {
		w.Rounds = b.Rounds
	}
	if b.Seconds > 0 {
		w.Seconds = b.Seconds
	}
	return w
}

// enter starts a contender and makes sure that it answers as it should.
func (b *Bench) enter(ctx context.Context, w Workload, name string) (*entrant, error) {
	c, ok := b.Field[name]
	if !ok {
		return nil, fmt.Errorf("no contender %q", name)
	}
	e := &entrant{Contender: c, series: &figures.Series{Contender: name}, denied: c.Checks()}
	var err error
	if sizes, ok := grown()[name]; ok {
		if c.Resources, err = b.World.Resources(sizes); err != nil {
			return nil, err
		}
	}
	probes, err := b.prepare(w, e)
	if err != nil {
		return nil, err
	}
	if err := b.Stand.Start(ctx, c, w.TLS); err != nil {
		return nil, err
	}
	e.requests.Target = c.Target()
	if err := c.Check(ctx, probes); err != nil {
		e.Kill()
		return nil, err
	}
	return e, nil
}

// rounds lets every contender run once in each round.
func (b *Bench) rounds(ctx context.Context, w Workload, entrants []*entrant) error {
	order := slices.Clone(entrants)
	for round := range w.Rounds {
		b.Random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var line []string
		for _, e := range order {
			sample, err := b.turn(ctx, w, e)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, e.series.Contender, err)
			}
			e.series.Rounds = append(e.series.Rounds, *sample)
			text := fmt.Sprintf("%s %.1f", e.series.Contender, figures.CPU(*sample))
			if w.Mode != Saturate {
				text += fmt.Sprintf(" (p99 %.0f)", sample.P99)
			}
			line = append(line, text)
		}
		b.Say("  round %d, µs CPU: %s", round+1, strings.Join(line, ", "))
	}
	var shared []string
	for _, e := range entrants {
		if foreign := e.series.Median(figures.Foreign); foreign > disturbed {
			shared = append(shared, fmt.Sprintf("%s %.0f %%", e.series.Contender, 100*foreign))
		}
	}
	if len(shared) > 0 {
		b.Say("  the machine was not quiet: of the proxies' processor others used, next to %s", strings.Join(shared, ", "))
	}
	return nil
}

// measure warms up and measures one contender once.
func (b *Bench) measure(ctx context.Context, w Workload, e *entrant) (*figures.Sample, error) {
	if err := b.warm(ctx, w, e); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	seen, err := e.watch(ctx)
	if err != nil {
		return nil, err
	}
	began, err := b.clock(e)
	if err != nil {
		return nil, err
	}
	r, err := b.load(ctx, w, e, time.Duration(w.Seconds)*time.Second)
	if err != nil {
		return nil, err
	}
	ended, err := b.clock(e)
	if err != nil {
		return nil, err
	}
	now, err := e.watch(ctx)
	if err != nil {
		return nil, err
	}
	if err := seen.verify(now, w, e, r); err != nil {
		return nil, err
	}
	return began.sample(ended, r), nil
}

// clock is what was used of the proxy's processor: by the proxy, and by everybody.
type clock struct {
	proxy account.Account
	all   account.Processor
}

func (b *Bench) clock(e *entrant) (c clock, err error) {
	if c.all, err = account.OfProcessor(b.Stand.Processor); err != nil {
		return c, err
	}
	c.proxy, err = account.Of(e.Process)
	return c, err
}

// sample is what was used between two readings.
func (c clock) sample(end clock, r *load.Result) *figures.Sample {
	n := float64(r.Requests)
	busy, idle := end.all.Busy-c.all.Busy, end.all.Idle-c.all.Idle
	foreign := busy - (end.proxy.Busy() - c.proxy.Busy())
	return &figures.Sample{
		Requests: r.Requests, Denied: r.Status, Seconds: float64(r.Microseconds) / 1e6,
		User:   float64((end.proxy.User - c.proxy.User).Microseconds()) / n,
		System: float64((end.proxy.System - c.proxy.System).Microseconds()) / n,
		P50:    r.P50, P99: r.P99, Peak: float64(end.proxy.PeakBytes) / (1 << 20),
		Foreign: max(0, float64(foreign)/float64(max(1, busy+idle))),
	}
}

// warm loads a contender before it is measured; at first until it has seen every
// token that will come again.
func (b *Bench) warm(ctx context.Context, w Workload, e *entrant) error {
	duration := b.Warm
	if w.Mode == Paced { // many short rounds; connections are all that has to get warm
		duration /= 4
	}
	for again := b.Warm > 0; again; again = !w.New && e.used < w.Tokens {
		if _, err := b.load(ctx, w, e, duration); err != nil {
			return err
		}
	}
	return nil
}

// load makes requests and checks that they were answered as the workload expects.
func (b *Bench) load(ctx context.Context, w Workload, e *entrant, duration time.Duration) (*load.Result, error) {
	q := e.requests
	q.First = e.used
	var r *load.Result
	var err error
	if w.Mode == Saturate {
		r, err = b.Wrk.Run(ctx, q, duration)
	} else {
		r, err = b.Roles.Pace(ctx, q, b.Half, duration)
	}
	if err != nil {
		return nil, err
	}
	e.used += r.Requests + q.Connections // some were on their way when it ended
	return r, errors.Join(r.Faults(), w.judge(e, r), b.kept(w, r))
}

// kept is an error if the fixed rate was not kept: latencies are then those of a queue
// that grows as long as the run is.
func (b *Bench) kept(w Workload, r *load.Result) error {
	if got := float64(r.Requests) / float64(r.Microseconds) * 1e6; w.Mode != Saturate && got < 0.9*b.Half {
		return fmt.Errorf("only %.0f of %.0f requests each second could be made", got, b.Half)
	}
	return nil
}

// judge compares the number of refusals with what it must be.
func (w *Workload) judge(e *entrant, r *load.Result) error {
	want, tolerance := 0, 0
	if w.Mixed && e.denied {
		want, tolerance = r.Requests/10, w.Connections
	}
	if r.Status < want-tolerance || r.Status > want+tolerance {
		return fmt.Errorf("%d of %d answers were refusals, want %d ± %d", r.Status, r.Requests, want, tolerance)
	}
	return nil
}

// observed are a gateway's own counts before a measurement.
type observed struct{ hits, misses float64 }

const (
	cacheHits   = "portcullis_token_cache_hits_total"
	cacheMisses = "portcullis_token_cache_misses_total"
)

func (e *entrant) watch(ctx context.Context) (observed, error) {
	if e.Kind != contend.Gateway {
		return observed{}, nil
	}
	m, err := e.Samples(ctx)
	return observed{m[cacheHits], m[cacheMisses]}, err
}

// verify makes sure that the gateway remembered the tokens, or did not, as the
// workload's name says.
func (o observed) verify(now observed, w Workload, e *entrant, r *load.Result) error {
	if e.Kind != contend.Gateway || w.Algorithm == "" || w.Mixed {
		return nil
	}
	hits, misses, n := now.hits-o.hits, now.misses-o.misses, float64(r.Requests)
	switch {
	case w.New && hits > n/100:
		return fmt.Errorf("%.0f of %.0f tokens were not new to it", hits, n)
	case !w.New && misses > n/100:
		return fmt.Errorf("%.0f of %.0f tokens were not remembered", misses, n)
	case hits+misses < n*0.99:
		return fmt.Errorf("it saw %.0f tokens in %.0f requests", hits+misses, n)
	}
	return nil
}
