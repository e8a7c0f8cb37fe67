package stream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if spec := os.Getenv(streamtest.ProcessVariable); spec != "" {
		streamtest.ServeProcess(spec)
	}
	goleak.VerifyTestMain(m)
}

func createLog(tb testing.TB, bus *stream.Bus) *stream.Log {
	tb.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		log, err := bus.CreateLog(tb.Context(), 1, 1, 0)
		if err == nil {
			return log
		}
		// The servers of a new cluster may not have heard of each other yet.
		if !strings.Contains(err.Error(), "no suitable peers") || time.Now().After(deadline) {
			tb.Fatal(err)
		}
	}
}

// appendAll appends messages after the sequence last; message n says "n".
func appendAll(tb testing.TB, log *stream.Log, last uint64, count int) {
	tb.Helper()
	for range count {
		next := last + 1
		got, err := log.Append(tb.Context(), last, "mixed", []byte(fmt.Sprint(next)), fmt.Sprintf("id-%d", next))
		if err != nil {
			tb.Fatal(err)
		}
		if got != next {
			tb.Fatalf("append got sequence %d, want %d", got, next)
		}
		last = next
	}
}

// reader follows a log in the background and keeps what it gets.
type reader struct {
	cancel context.CancelFunc
	err    chan error

	mu       sync.Mutex
	messages []stream.Message
	grown    chan struct{}
}

func follow(tb testing.TB, log *stream.Log, after uint64) *reader {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{cancel: cancel, err: make(chan error, 1), grown: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		r.err <- log.Follow(ctx, after, func(batch []stream.Message) error {
			r.mu.Lock()
			r.messages = append(r.messages, batch...)
			r.mu.Unlock()
			select {
			case r.grown <- struct{}{}:
			default:
			}
			return nil
		})
	})
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return r
}

// wait waits until count messages have come and checks that they are those after
// the given sequence, in order.
func (r *reader) wait(tb testing.TB, after uint64, count int) []stream.Message {
	tb.Helper()
	end := time.After(patience)
	for {
		r.mu.Lock()
		got := r.messages
		r.mu.Unlock()
		for i, m := range got {
			if want := after + uint64(i) + 1; m.Sequence != want || string(m.Data) != fmt.Sprint(want) {
				tb.Fatalf("message %d has sequence %d and says %q, want %d", i, m.Sequence, m.Data, want)
			}
		}
		if len(got) > count {
			tb.Fatalf("got %d messages, want %d", len(got), count)
		}
		if len(got) == count {
			return got
		}
		select {
		case <-r.grown:
		case err := <-r.err:
			tb.Fatalf("follow ended after %d of %d messages: %v", len(got), count, err)
		case <-end:
			tb.Fatalf("got %d of %d messages in time", len(got), count)
		}
	}
}

// ends waits until following ends and checks why.
func (r *reader) ends(tb testing.TB, want error, within time.Duration) {
	tb.Helper()
	began := time.Now()
	select {
	case err := <-r.err:
		if !errors.Is(err, want) {
			tb.Fatalf("follow ended with %v, want %v", err, want)
		}
		tb.Logf("after %s: %v", time.Since(began).Round(time.Millisecond), err)
	case <-time.After(within):
		tb.Fatalf("follow did not end within %s, want %v", within, want)
	}
}
