package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/introspect"
)

// slow is a server that answers a question when it gets a permit.
type slow struct {
	client  *introspect.Client
	at      atomic.Int64
	asked   atomic.Int64
	permits chan struct{}
	open    func() // answers everything from now on
}

func newSlow(t *testing.T) *slow {
	t.Helper()
	s := &slow{permits: make(chan struct{})}
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		s.at.Add(1)
		<-s.permits
		s.at.Add(-1)
		active(w)
	})
	s.open = sync.OnceFunc(func() { close(s.permits) })
	t.Cleanup(s.open) // before the server closes
	s.client = introspect.NewClient(compile(t, issuer(func(i *pb.Introspection) { i.Url, i.Timeout = server.URL, durationpb.New(30*time.Second) })))
	return s
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not: " + what)
		}
	}
}

// A caller who floods a server with made-up tokens has all places, and all the room
// for waiting that it may; another one's question comes next all the same.
func TestFloodOfOneCallerLetsOthersIn(t *testing.T) {
	const atATime, mayWait = 64, 512
	for name, c := range map[string]struct{ flooding, good string }{
		"IPv4":                               {"192.0.2.1", "192.0.2.2"},
		"IPv6":                               {"2001:db8::1", "2001:db8:0:1::1"},
		"IPv4, and the same written as IPv6": {"192.0.2.1", "::ffff:192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlow(t)
			ctx, stop := context.WithCancel(t.Context())
			var busy atomic.Int64
			var all sync.WaitGroup
			flooding := netip.MustParseAddr(c.flooding)
			for i := range atATime + mayWait + 100 {
				all.Go(func() {
					from := flooding
					if from.Is6() { // a host has 2^64 of them
						bytes := from.As16()
						bytes[15] = byte(i)
						from = netip.AddrFrom16(bytes)
					}
					_, err := s.client.Ask(ctx, from, fmt.Sprint("made-up", i))
					if failure, ok := errors.AsType[*introspect.Error](err); ok && failure.Outcome == introspect.Busy && ctx.Err() == nil {
						busy.Add(1)
					}
				})
			}
			until(t, "the flood has all it may have", func() bool { return s.at.Load() == atATime && busy.Load() == 100 })
			got := make(chan error, 1)
			go func() {
				_, err := s.client.Ask(t.Context(), netip.MustParseAddr(c.good), "good")
				got <- err
			}()
			// Each answer lets one more question in: the good one, as soon as it waits. Those
			// that were at work before it are answered first, since the server is fair.
			answered := 0
			for done := false; !done; {
				select {
				case err := <-got:
					if err != nil {
						t.Errorf("the other caller: %v", err)
					}
					done = true
				case s.permits <- struct{}{}:
					answered++
					time.Sleep(5 * time.Millisecond)
				case <-time.After(20 * time.Second):
					t.Fatal("nothing goes on")
				}
			}
			if answered > atATime+10 {
				t.Errorf("%d questions of the flood came before it", answered)
			}
			stop()
			s.open()
			all.Wait()
		})
	}
}

// Who is alone has all places.
func TestOneCallerAloneHasAllPlaces(t *testing.T) {
	s := newSlow(t)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if _, err := s.client.Ask(t.Context(), somebody, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "64 are asked at a time", func() bool { return s.at.Load() == 64 })
	s.open()
	all.Wait()
	if n := s.asked.Load(); n != 200 {
		t.Errorf("%d were asked", n)
	}
}
