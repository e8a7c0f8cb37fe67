package pace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/epoll"
)

const (
	bufferSize = 64 << 10
	// After the last request answers are awaited for this long.
	patience = 5 * time.Second
)

// loop is the state of a run.
type loop struct {
	cfg      Config
	poller   *epoll.Poller
	conns    map[int32]*conn // by file descriptor
	idle     []*conn         // in the order in which they became so
	requests [][]byte
	next     int             // request to send
	due      []time.Duration // when requests that wait for a connection were to be sent
	began    time.Time
	took     []uint32 // nanoseconds, of each request
	late     []uint32
	result   Result
}

type conn struct {
	fd   int
	file *os.File
	due  time.Duration // since the beginning, when its request was to be sent
	in   []byte
	busy bool
	// since the beginning, when it became idle.
	since time.Duration
}

// Run makes requests for the configured time. It does not return before all are
// answered, and fails if one is not.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	requests, err := cfg.requests()
	if err != nil {
		return nil, err
	}
	// It goes before the upstream, beside which it stands: what it is late itself
	// would show as the contender's latency.
	if err := epoll.Own(true); err != nil {
		return nil, err
	}
	expected := int(cfg.Rate*cfg.Seconds) + 1
	l := &loop{
		cfg: cfg, requests: requests, conns: map[int32]*conn{},
		took: make([]uint32, 0, expected), late: make([]uint32, 0, expected), due: make([]time.Duration, 0, expected),
	}
	if l.poller, err = epoll.New(); err != nil {
		return nil, err
	}
	defer l.poller.Close()
	defer func() {
		for _, c := range l.conns {
			_ = c.file.Close()
		}
	}()
	for range cfg.Connections {
		if err := l.dial(ctx); err != nil {
			return nil, err
		}
	}
	return l.run(expected - 1)
}

// dial opens a connection that epoll watches.
func (l *loop) dial(ctx context.Context) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", l.cfg.Address)
	if err != nil {
		return err
	}
	file, fd, err := epoll.Detach(c)
	if err != nil {
		return err
	}
	n := &conn{fd: fd, file: file, in: make([]byte, 0, bufferSize)}
	l.conns[int32(fd)] = n
	l.idle = append(l.idle, n)
	return l.poller.Add(fd)
}

// run sends request number i at i divided by the rate.
func (l *loop) run(total int) (*Result, error) {
	gap := float64(time.Second) / l.cfg.Rate
	at := func(i int) time.Duration { return time.Duration(float64(i) * gap) }
	l.began = time.Now()
	for scheduled := 0; len(l.took) < total; {
		now := time.Since(l.began)
		for ; scheduled < total && at(scheduled) <= now; scheduled++ {
			l.due = append(l.due, at(scheduled))
		}
		if err := l.send(); err != nil {
			return nil, err
		}
		until := at(scheduled)
		if scheduled == total {
			until += patience
			if now > until {
				return nil, fmt.Errorf("%d of %d requests were not answered within %s", total-len(l.took), total, patience)
			}
		}
		if err := l.await(until); err != nil {
			return nil, err
		}
	}
	return l.finish(), nil
}

// await takes in answers until there is none, or the time has come.
func (l *loop) await(until time.Duration) error {
	events, err := l.poller.Wait(max(0, until-time.Since(l.began)))
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := l.receive(l.conns[e.Fd]); err != nil {
			return err
		}
	}
	return nil
}

// send sends what is due on connections that are idle.
func (l *loop) send() error {
	n := min(len(l.due), len(l.idle))
	for i := range n {
		c := l.idle[i]
		c.due, c.busy, c.in = l.due[i], true, c.in[:0]
		request := l.requests[l.next%len(l.requests)]
		l.next++
		l.late = append(l.late, clamp(time.Since(l.began)-max(c.due, c.since)))
		if written, err := epoll.Write(c.fd, request); err != nil || written != len(request) {
			return fmt.Errorf("write %d of %d bytes: %w", written, len(request), err)
		}
	}
	l.due = slices.Delete(l.due, 0, n)
	l.idle = slices.Delete(l.idle, 0, n)
	return nil
}

// receive reads what has come, and notes an answer that is complete.
func (l *loop) receive(c *conn) error {
	n, err := epoll.Read(c.fd, c.in[len(c.in):cap(c.in)])
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0 || !c.busy:
		return fmt.Errorf("a connection was closed, or %d bytes came unasked", n)
	}
	c.in = c.in[:len(c.in)+n]
	status, length, err := answer(c.in)
	if err != nil || length == 0 || len(c.in) < length {
		return err
	}
	c.since = time.Since(l.began)
	l.took = append(l.took, clamp(c.since-c.due))
	l.result.Bytes += int64(length)
	if status >= 400 {
		l.result.Status++
	}
	c.busy = false
	l.idle = append(l.idle, c)
	return nil
}

func (l *loop) finish() *Result {
	r := &l.result
	r.Microseconds, r.Requests = time.Since(l.began).Microseconds(), len(l.took)
	slices.Sort(l.took)
	slices.Sort(l.late)
	r.P50, r.P99, r.Max = percentile(l.took, 0.5), percentile(l.took, 0.99), percentile(l.took, 1)
	r.Lag = percentile(l.late, 0.99)
	return r
}

// clamp fits a latency into 4.29 s.
func clamp(d time.Duration) uint32 { return uint32(min(max(d, 0), 1<<32-1)) }
