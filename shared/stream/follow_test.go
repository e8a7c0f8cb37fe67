package stream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/inprocess"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// soon is how fast a silent fault must be noticed.
const soon = 10 * time.Second

func TestFollowFromTheMiddle(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "writer"))
	appendAll(t, log, 0, 20)
	for _, after := range []uint64{0, 7, 19, 20} {
		r := follow(t, log, after)
		r.wait(t, after, int(20-after))
	}
	r := follow(t, log, 20)
	appendAll(t, log, 20, 5)
	r.wait(t, 20, 5)
}

func TestFollowIsFast(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "writer"))
	arrived := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	reading, err := server.Connect(t, "reader").Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		done <- reading.Follow(ctx, 0, func([]stream.Message) error {
			arrived <- time.Now()
			return nil
		})
	}()
	var whole, after []time.Duration
	for last := range uint64(200) {
		began := time.Now()
		if _, err := log.Append(t.Context(), last, "mixed", []byte("x"), "id"); err != nil {
			t.Fatal(err)
		}
		acknowledged := time.Now()
		at := <-arrived
		whole = append(whole, at.Sub(began))
		after = append(after, at.Sub(acknowledged))
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("follow ended with %v, want its context's error", err)
	}
	slices.Sort(whole)
	slices.Sort(after)
	t.Logf("append begun → delivered: median %s, p99 %s; append acknowledged → delivered: median %s, p99 %s",
		whole[100], whole[197], after[100], after[197])
	if after[100] > 20*time.Millisecond {
		t.Errorf("messages arrive %s after their acknowledgement", after[100])
	}
}

func TestSlowCallbackLosesNothing(t *testing.T) {
	t.Parallel()
	log := createLog(t, streamtest.New(t).Connect(t, "writer"))
	const count = 3000
	next, batches := uint64(1), 0
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- log.Follow(ctx, 0, func(batch []stream.Message) error {
			if batches++; batches < 20 {
				time.Sleep(20 * time.Millisecond)
			}
			for _, m := range batch {
				if m.Sequence != next {
					return fmt.Errorf("got %d, want %d", m.Sequence, next)
				}
				next++
			}
			if next > count {
				cancel()
			}
			return nil
		})
	}()
	for last := range uint64(count) {
		if _, err := log.Append(t.Context(), last, "mixed", make([]byte, 2000), "id"); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; !errors.Is(err, context.Canceled) || next != count+1 {
		t.Fatalf("follow ended with %v at %d", err, next)
	}
	t.Logf("%d messages in %d batches", count, batches)
}

func TestLargeMessagesAreFollowed(t *testing.T) {
	t.Parallel()
	log := createLog(t, streamtest.New(t).Connect(t, "writer"))
	for last := range uint64(6) {
		if _, err := log.Append(t.Context(), last, "mixed", make([]byte, log.MaxSize()), "id"); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := log.Follow(ctx, 0, func(batch []stream.Message) error {
		for _, m := range batch {
			if len(m.Data) != log.MaxSize() {
				t.Errorf("sequence %d has %d bytes", m.Sequence, len(m.Data))
			}
		}
		if got += len(batch); got == 6 {
			cancel()
		}
		return nil
	})
	if got != 6 {
		t.Errorf("got %d of 6 messages: %v", got, err)
	}
}

func TestFollowReturnsTheCallbacksError(t *testing.T) {
	t.Parallel()
	log := createLog(t, streamtest.New(t).Connect(t, "writer"))
	appendAll(t, log, 0, 3)
	mine := errors.New("mine")
	if err := log.Follow(t.Context(), 0, func([]stream.Message) error { return mine }); err != mine {
		t.Errorf("got %v, want the callback's error as it is", err)
	}
}

func TestFollowerSurvivesRestarts(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	bus := server.Connect(t, "both")
	log := createLog(t, bus)
	appendAll(t, log, 0, 10)
	r := follow(t, log, 0)
	r.wait(t, 0, 10)
	for n := range uint64(3) {
		server.Restart(t)
		eventually(t, "reconnect", bus.Connected)
		appendAll(t, log, 10+10*n, 10)
		r.wait(t, 0, int(20+10*n))
	}
	if stats := bus.Stats(); stats.Disconnects < 3 || stats.Renewals < 3 {
		t.Errorf("stats are %+v after three restarts", stats)
	}
}

func TestFollowerSurvivesCutsMidway(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "writer"))
	wire := newWire(t, strings.TrimPrefix(server.URL(), "nats://"))
	reading, err := streamtest.Connect(t, "nats://"+wire.address(), "reader").Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := follow(t, reading, 0)
	for n := range uint64(6) {
		wire.hold(false, n%2 == 0) // the server sends, and it is lost
		appendAll(t, log, 20*n, 20)
		wire.cut()
	}
	r.wait(t, 0, 120)
	wire.hold(false, true)
	appendAll(t, log, 120, 1)
	time.Sleep(100 * time.Millisecond) // the server has sent it
	wire.cut()
	began := time.Now()
	r.wait(t, 0, 121)
	// Nothing follows the message that was lost, so nothing but the cut itself tells.
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("it took %s to see what was lost in the last cut", d)
	}
}

func TestLostConsumerIsReplaced(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "both"))
	appendAll(t, log, 0, 5)
	r := follow(t, log, 0)
	r.wait(t, 0, 5)
	s, err := raw(t, server.URL()).Stream(t.Context(), log.Identity().Stream)
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(t.Context()).Name() {
		if !strings.HasPrefix(name, "both-") {
			t.Errorf("consumer is named %s, want both-…", name)
		}
		if err := s.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	appendAll(t, log, 5, 5)
	began := time.Now()
	r.wait(t, 0, 10)
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("it took %s to replace a consumer that is gone", d)
	}
}

// A consumer that says nothing although there is more: the server pauses it, and
// goes on sending signs of life.
func TestSilentConsumerIsReplaced(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "both"))
	appendAll(t, log, 0, 5)
	r := follow(t, log, 0)
	r.wait(t, 0, 5)
	js := raw(t, server.URL())
	s, err := js.Stream(t.Context(), log.Identity().Stream)
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(t.Context()).Name() {
		if _, err := js.PauseConsumer(t.Context(), log.Identity().Stream, name, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	appendAll(t, log, 5, 5)
	r.wait(t, 0, 10)
}

func TestConsumersAreTidiedUp(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "both"))
	appendAll(t, log, 0, 1)
	r := follow(t, log, 0)
	r.wait(t, 0, 1)
	r.cancel()
	r.ends(t, context.Canceled, soon)
	s, err := raw(t, server.URL()).Stream(t.Context(), log.Identity().Stream)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "removal of the consumer", func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.State.Consumers == 0
	})
}

func TestFollowStopsWhileNatsIsAway(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "both"))
	r := follow(t, log, 0)
	server.Stop(t)
	time.Sleep(100 * time.Millisecond)
	r.cancel()
	r.ends(t, context.Canceled, 3*time.Second)
}

func TestFollowEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	bus := streamtest.New(t).Connect(t, "both")
	r := follow(t, createLog(t, bus), 0)
	bus.Close()
	r.ends(t, stream.ErrUnavailable, soon)
}

func TestReplacedStreamIsNoticed(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "both"))
	appendAll(t, log, 0, 10)
	r := follow(t, log, 0)
	r.wait(t, 0, 10)
	deleteStream(t, server.URL(), log)
	again := createLog(t, server.Connect(t, "other"))
	if again.Identity() == log.Identity() || again.Identity().Stream != log.Identity().Stream {
		t.Fatalf("identities are %+v and %+v", log.Identity(), again.Identity())
	}
	appendAll(t, again, 0, 15)
	r.ends(t, stream.ErrReplaced, soon)
	// A writer of the old log cannot write into the new one, even if it guesses its end.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := log.Append(ctx, 15, "mixed", []byte("16"), "id"); err == nil {
		t.Error("a writer of the old log wrote into the new one")
	}
	if _, _, err := log.Bounds(t.Context()); !errors.Is(err, stream.ErrReplaced) {
		t.Errorf("bounds of the old log: got %v, want ErrReplaced", err)
	}
}

func TestDeletedStreamIsNoticed(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "both"))
	r := follow(t, log, 0)
	deleteStream(t, server.URL(), log)
	r.ends(t, stream.ErrReplaced, soon)
}

func TestLaterEpochIsNoticed(t *testing.T) {
	t.Parallel()
	bus := streamtest.New(t).Connect(t, "both")
	log := createLog(t, bus)
	appendAll(t, log, 0, 3)
	r := follow(t, log, 0)
	r.wait(t, 0, 3)
	if _, err := bus.CreateLog(t.Context(), 2, 4, 0); err != nil {
		t.Fatal(err)
	}
	r.ends(t, stream.ErrReplaced, soon)
}

func TestPositionBeyondTheEnd(t *testing.T) {
	t.Parallel()
	log := createLog(t, streamtest.New(t).Connect(t, "both"))
	appendAll(t, log, 0, 3)
	follow(t, log, 4).ends(t, stream.ErrRolledBack, soon)
}

func TestPositionBeforeTheBeginning(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	bus := server.Connect(t, "both")
	log, err := bus.CreateLog(t.Context(), 1, 11, 0)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, log, 10, 5)
	follow(t, log, 9).ends(t, stream.ErrTooOld, soon)
	follow(t, log, 10).wait(t, 10, 5)
	// The same when age has removed messages.
	limit(t, server, log, 2)
	follow(t, log, 12).ends(t, stream.ErrTooOld, soon)
	follow(t, log, 13).wait(t, 13, 2)
}

// limit cuts a log at the front, as age would in a week.
func limit(t *testing.T, server *streamtest.Server, log *stream.Log, count int64) {
	t.Helper()
	js := raw(t, server.URL())
	s, err := js.Stream(t.Context(), log.Identity().Stream)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.MaxMsgs, config.Discard = count, jetstream.DiscardOld
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// The log is cut at the front while its follower cannot see it.
func TestFollowerThatWasAwayTooLong(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "writer"))
	wire := newWire(t, strings.TrimPrefix(server.URL(), "nats://"))
	reading, err := streamtest.Connect(t, "nats://"+wire.address(), "reader").Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, log, 0, 5)
	r := follow(t, reading, 0)
	r.wait(t, 0, 5)
	wire.hold(true, true)
	appendAll(t, log, 5, 10)
	limit(t, server, log, 3)
	wire.cut()
	r.ends(t, stream.ErrTooOld, soon)
}

func TestRolledBackStoreIsNoticed(t *testing.T) {
	t.Parallel()
	for name, regrown := range map[string]int{"shorter": 0, "as long": 10, "longer": 15} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := streamtest.New(t)
			log := createLog(t, server.Connect(t, "both"))
			appendAll(t, log, 0, 10)
			server.Stop(t)
			backup := t.TempDir()
			if err := os.CopyFS(backup, os.DirFS(server.Dir())); err != nil {
				t.Fatal(err)
			}
			server.Start(t)
			appendAll(t, patient(t, server), 10, 10)
			r := follow(t, log, 0)
			r.wait(t, 0, 20)
			server.Stop(t)
			regrow(t, backup, regrown)
			server.SetDir(backup)
			server.Start(t)
			r.ends(t, stream.ErrRolledBack, soon)
		})
	}
}

// patient finds the log on a new connection.
func patient(t *testing.T, server *streamtest.Server) *stream.Log {
	t.Helper()
	log, err := server.Connect(t, "patient").Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// regrow lets an old store grow out of its followers' sight.
func regrow(t *testing.T, dir string, count int) {
	t.Helper()
	server, err := inprocess.Start(t.Context(), inprocess.Config{Dir: dir, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	bus, err := stream.Connect(t.Context(), stream.Config{InProcess: server, Name: "regrow", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	log, err := bus.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, log, 10, count)
}

// A hole can be made only by somebody with more rights than ours, in a stream
// that was configured again.
func TestHoleIsNoticed(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "both"))
	js := raw(t, server.URL())
	s, err := js.Stream(t.Context(), log.Identity().Stream)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	deleteStream(t, server.URL(), log)
	config.DenyDelete = false
	if s, err = js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	appendAll(t, log, 0, 10)
	if err := s.DeleteMsg(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	r := follow(t, log, 0)
	r.wait(t, 0, 4)
	err = <-r.err
	gap, ok := errors.AsType[*stream.GapError](err)
	if !ok || gap.After != 4 || gap.Got != 6 {
		t.Errorf("got %v, want a gap from 4 to 6", err)
	}
}
