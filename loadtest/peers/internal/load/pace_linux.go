package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// Pace is what is sent at a fixed rate, and how often.
type Pace struct {
	Requests Requests `json:"requests"`
	Rate     float64  `json:"rate"` // requests each second
	Seconds  float64  `json:"seconds"`
}

// RunPace makes requests at a fixed rate and measures how long each took since the
// moment at which it was to be sent. So a proxy that stands still for a while pays
// for every request that should have been made meanwhile, as it does with clients
// that do not know of each other. It fails if a request is not answered.
func RunPace(ctx context.Context, p Pace) (*Result, error) {
	if p.Rate <= 0 || p.Requests.Connections < 1 {
		return nil, errors.New("requests at a fixed rate need a rate and connections")
	}
	debug.SetGCPercent(-1) // it ends soon
	requests, err := p.Requests.render()
	if err != nil {
		return nil, err
	}
	total := int(p.Rate * p.Seconds)
	g := &generator{client: &fasthttp.HostClient{Addr: strings.TrimPrefix(p.Requests.Target, "http://"), MaxConns: p.Requests.Connections, NoDefaultUserAgentHeader: true}, requests: requests}
	due := make(chan task, total) // it never holds the clock up
	took := make([][]time.Duration, p.Requests.Connections)
	var senders sync.WaitGroup
	g.begun = time.Now()
	for i := range took {
		senders.Go(func() { took[i] = g.send(due) })
	}
	late := g.tick(ctx, p.Rate, total, due)
	senders.Wait()
	if err := errors.Join(g.err, ctx.Err()); err != nil {
		return nil, err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	slices.Sort(late)
	return &Result{
		Microseconds: time.Since(g.begun).Microseconds(), Requests: len(all), Status: g.refused,
		P50: percentile(all, 0.5), P99: percentile(all, 0.99), Max: percentile(all, 1), Lag: percentile(late, 0.99),
	}, nil
}

// task is a request that is due.
type task struct {
	number int
	at     time.Duration // since the beginning
}

type generator struct {
	client   *fasthttp.HostClient
	requests []*fasthttp.Request
	begun    time.Time

	mu      sync.Mutex
	refused int
	err     error
}

// tick hands over request number i at i divided by the rate, and returns how late
// it was. It sleeps in the kernel, because Go's timers are exact to a millisecond
// only when nothing else happens.
func (g *generator) tick(ctx context.Context, rate float64, total int, due chan<- task) (late []time.Duration) {
	defer close(due)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // without it sleeps are 50 µs too long
	for i := range total {
		at := time.Duration(float64(i) / rate * float64(time.Second))
		for wait := at - time.Since(g.begun); wait > 0; wait = at - time.Since(g.begun) {
			sleep := unix.NsecToTimespec(wait.Nanoseconds())
			_ = unix.Nanosleep(&sleep, nil) // interrupted, it sleeps again
		}
		if ctx.Err() != nil {
			return late
		}
		late = append(late, time.Since(g.begun)-at)
		due <- task{i, at}
	}
	return late
}

// send makes requests on one connection until there are no more.
func (g *generator) send(due <-chan task) (took []time.Duration) {
	var request fasthttp.Request // a copy: the client writes into it
	var answer fasthttp.Response
	for t := range due {
		g.requests[t.number%len(g.requests)].CopyTo(&request)
		err := g.client.Do(&request, &answer)
		took = append(took, time.Since(g.begun)-t.at)
		if err == nil && answer.StatusCode() < 400 {
			continue
		}
		g.mu.Lock()
		if err != nil {
			g.err = errors.Join(g.err, fmt.Errorf("request %d: %w", t.number, err))
		} else {
			g.refused++
		}
		stop := g.err != nil
		g.mu.Unlock()
		if stop {
			return took
		}
	}
	return took
}

// render makes the requests, in the order in which they are sent.
func (q *Requests) render() ([]*fasthttp.Request, error) {
	one := func(path, token string) *fasthttp.Request {
		r := fasthttp.AcquireRequest() // never released
		r.SetRequestURI(q.Target + path)
		for i := 0; i+1 < len(q.Headers); i += 2 {
			r.Header.Set(q.Headers[i], q.Headers[i+1])
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return r
	}
	if q.Lines == "" {
		return []*fasthttp.Request{one(q.Path, "")}, nil
	}
	data, err := os.ReadFile(q.Lines)
	if err != nil {
		return nil, err
	}
	var all []*fasthttp.Request
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		path, token, found := strings.Cut(lines.Text(), " ")
		if !found {
			return nil, fmt.Errorf("%s: no token in line %d", q.Lines, len(all)+1)
		}
		all = append(all, one(path, token))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is empty", q.Lines)
	}
	first := q.First % len(all)
	return slices.Concat(all[first:], all[:first]), lines.Err()
}

// percentile of sorted durations, in microseconds.
func percentile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]) / float64(time.Microsecond)
}
