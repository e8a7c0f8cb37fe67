package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestAppendRefusesStaleSequence(t *testing.T) {
	t.Parallel()
	log := createLog(t, streamtest.New(t).Connect(t, "writer"))
	appendAll(t, log, 0, 3)
	refusesStale(t, log)
}

func refusesStale(t *testing.T, log *stream.Log) {
	t.Helper()
	for _, last := range []uint64{0, 2, 4, 1000} {
		if _, err := log.Append(t.Context(), last, "mixed", []byte("x"), "x"); !errors.Is(err, stream.ErrConflict) {
			t.Errorf("append after %d of 3: got %v, want ErrConflict", last, err)
		}
	}
	if first, last, err := log.Bounds(t.Context()); err != nil || first != 1 || last != 3 {
		t.Errorf("bounds are %d, %d, %v; want 1, 3", first, last, err)
	}
}

func TestAppendDoesNotRepeatItself(t *testing.T) {
	t.Parallel()
	log := createLog(t, streamtest.New(t).Connect(t, "writer"))
	appendAll(t, log, 0, 1)
	if _, err := log.Append(t.Context(), 0, "mixed", []byte("1"), "id-1"); !errors.Is(err, stream.ErrConflict) {
		t.Errorf("the same append again: got %v, want ErrConflict", err)
	}
	// One id twice, at two sequences, is two messages: nothing is taken for a duplicate.
	if seq, err := log.Append(t.Context(), 1, "mixed", []byte("2"), "id-1"); err != nil || seq != 2 {
		t.Errorf("the same id at the next sequence: got %d, %v; want 2", seq, err)
	}
}

func TestAppendRefusesBadInput(t *testing.T) {
	t.Parallel()
	log := createLog(t, streamtest.New(t).Connect(t, "writer"))
	big := make([]byte, log.MaxSize()+1)
	for name, test := range map[string]struct {
		topic, id string
		data      []byte
		want      string
	}{
		"no topic":          {"", "id", nil, "topic"},
		"topic of tokens":   {"a.b", "id", nil, "topic"},
		"wildcard topic":    {"*", "id", nil, "topic"},
		"long topic":        {strings.Repeat("a", 33), "id", nil, "topic"},
		"no id":             {"mixed", "", nil, "id"},
		"id with line feed": {"mixed", "a\r\nNats-Rollup: all", nil, "id"},
		"long id":           {"mixed", strings.Repeat("a", 129), nil, "id"},
		"too large":         {"mixed", "id", big, stream.ErrTooLarge.Error()},
	} {
		_, err := log.Append(t.Context(), 0, test.topic, test.data, test.id)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, test.want)
		}
	}
	if _, last, err := log.Bounds(t.Context()); err != nil || last != 0 {
		t.Errorf("last is %d, %v; want 0", last, err)
	}
	// The largest allowed goes through, with the longest topic and id.
	if _, err := log.Append(t.Context(), 0, strings.Repeat("a", 32), big[1:], strings.Repeat("i", 128)); err != nil {
		t.Errorf("largest message: %v", err)
	}
	r := follow(t, log, 0)
	<-r.grown
	if m := r.messages[0]; !bytes.Equal(m.Data, big[1:]) || m.ID != strings.Repeat("i", 128) || time.Since(m.Time) > time.Minute {
		t.Errorf("the largest message came back with %d bytes, id %q, time %s", len(m.Data), m.ID, m.Time)
	}
}

func TestWritersRace(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "creator"))
	const each = 200
	var wg sync.WaitGroup
	acknowledged := make([]map[uint64]string, 2)
	for w := range acknowledged {
		log, err := server.Connect(t, fmt.Sprintf("writer-%d", w)).Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		acknowledged[w] = make(map[uint64]string)
		wg.Go(func() { race(t, log, w, each, acknowledged[w]) })
	}
	wg.Wait()
	seen := make(map[uint64]string)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := log.Follow(ctx, 0, func(batch []stream.Message) error {
		for _, m := range batch {
			if m.Sequence != uint64(len(seen))+1 || m.ID != string(m.Data) {
				t.Errorf("sequence %d, id %q, data %q after %d messages", m.Sequence, m.ID, m.Data, len(seen))
			}
			seen[m.Sequence] = m.ID
		}
		if len(seen) == 2*each {
			cancel()
		}
		return nil
	})
	if len(seen) != 2*each {
		t.Fatalf("log has %d messages, want %d (%v)", len(seen), 2*each, err)
	}
	for w := range acknowledged {
		for sequence, id := range acknowledged[w] {
			if seen[sequence] != id {
				t.Errorf("sequence %d was acknowledged for %s and holds %s", sequence, id, seen[sequence])
			}
		}
	}
}

func race(t *testing.T, log *stream.Log, writer, count int, acknowledged map[uint64]string) {
	t.Helper()
	last := uint64(0)
	for n := range count {
		id := fmt.Sprintf("%d-%d", writer, n)
		for {
			sequence, err := log.Append(t.Context(), last, "mixed", []byte(id), id)
			if err == nil {
				acknowledged[sequence], last = id, sequence
				break
			}
			if !errors.Is(err, stream.ErrConflict) {
				t.Errorf("append %s: %v", id, err)
				return
			}
			if _, last, err = log.Bounds(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

func TestAppendWithoutServer(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	bus := server.Connect(t, "writer")
	log := createLog(t, bus)
	server.Stop(t)
	for end := time.Now().Add(patience); bus.Connected() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if _, err := log.Append(t.Context(), 0, "mixed", nil, "id"); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("append without a server: got %v, want ErrUnavailable", err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("it took %s to find out", d)
	}
	if _, _, err := log.Bounds(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("bounds without a server: got %v, want ErrUnavailable", err)
	}
	if _, err := bus.Find(t.Context()); !errors.Is(err, stream.ErrUnavailable) || errors.Is(err, stream.ErrNoLog) {
		t.Errorf("find without a server: got %v, want ErrUnavailable", err)
	}
	server.Start(t)
	for end := time.Now().Add(patience); !bus.Connected() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	// What was refused must not have been kept and sent now.
	if _, last, err := log.Bounds(t.Context()); err != nil || last != 0 {
		t.Errorf("last is %d, %v; want 0", last, err)
	}
	appendAll(t, log, 0, 1)
}

func TestAppendToDeletedLog(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "writer"))
	deleteStream(t, server.URL(), log)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// The end of ctx may meet an attempt that is under way, and then nobody knows.
	_, err := log.Append(ctx, 0, "mixed", nil, "id")
	if !errors.Is(err, stream.ErrUnavailable) && !errors.Is(err, stream.ErrUnknown) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

// A question whose answer is lost with the connection is given up with it.
func TestQuestionEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	createLog(t, server.Connect(t, "creator"))
	wire := newWire(t, strings.TrimPrefix(server.URL(), "nats://"))
	bus := streamtest.Connect(t, "nats://"+wire.address(), "reader")
	wire.hold(false, true)
	time.AfterFunc(200*time.Millisecond, wire.cut)
	began := time.Now()
	if _, err := bus.Find(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %s to give up", d)
	}
}

// A question that falls into an election is never answered: it is asked again,
// long before the time for all of it is up.
func TestUnansweredListingIsAskedAgain(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "creator"))
	wire := newWire(t, strings.TrimPrefix(server.URL(), "nats://"))
	bus := streamtest.Connect(t, "nats://"+wire.address(), "reader")
	wire.hold(false, true)
	time.AfterFunc(300*time.Millisecond, func() { wire.hold(false, false) })
	began := time.Now()
	again, err := bus.Find(t.Context())
	if err != nil || again.Identity() != log.Identity() || again.First() != 1 {
		t.Fatalf("found %+v, %v", again, err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestLostAnswer(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "creator"))
	for _, arrives := range []bool{true, false} {
		t.Run(fmt.Sprintf("arrives=%t", arrives), func(t *testing.T) {
			_, last, err := log.Bounds(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wire := newWire(t, strings.TrimPrefix(server.URL(), "nats://"))
			writer, err := streamtest.Connect(t, "nats://"+wire.address(), "writer").Find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wire.hold(!arrives, true)
			result := make(chan error, 1)
			go func() {
				_, err := writer.Append(context.Background(), last, "mixed", []byte(fmt.Sprint(last+1)), "mine")
				result <- err
			}()
			select {
			case err := <-result:
				t.Fatalf("append returned %v before the answer could come", err)
			case <-time.After(200 * time.Millisecond):
			}
			began := time.Now()
			wire.cut()
			if err := <-result; !errors.Is(err, stream.ErrUnknown) {
				t.Fatalf("append without an answer: got %v, want ErrUnknown", err)
			}
			if d := time.Since(began); d > 2*time.Second {
				t.Errorf("it took %s to notice the cut", d)
			}
			// Repeating settles it, and so does reading on.
			_, err = log.Append(t.Context(), last, "mixed", []byte(fmt.Sprint(last+1)), "again")
			if arrives != errors.Is(err, stream.ErrConflict) || !arrives && err != nil {
				t.Fatalf("repeated append: got %v", err)
			}
			want := map[bool]string{true: "mine", false: "again"}[arrives]
			if got := follow(t, log, last).wait(t, last, 1)[0].ID; got != want {
				t.Errorf("the log has the message of %q, want %q", got, want)
			}
		})
	}
}

func TestAppendAcrossKills(t *testing.T) {
	t.Parallel()
	process := streamtest.Processes(t, 1)[0]
	bus := streamtest.Connect(t, streamtest.URLs(process), "writer")
	log := createLog(t, bus)
	acknowledged := uint64(0)
	for range 4 {
		killed := make(chan struct{})
		time.AfterFunc(250*time.Millisecond, func() {
			process.Kill()
			close(killed)
		})
		last := acknowledged
		for {
			sequence, err := log.Append(t.Context(), last, "mixed", []byte(fmt.Sprint(last+1)), "id")
			if err != nil {
				break
			}
			last, acknowledged = sequence, sequence
		}
		<-killed
		process.Start(t)
		_, last, err := retry(func() (uint64, uint64, error) { return log.Bounds(t.Context()) })
		if err != nil {
			t.Fatal(err)
		}
		if last < acknowledged || last > acknowledged+1 {
			t.Fatalf("after the kill the log ends at %d, %d were acknowledged", last, acknowledged)
		}
		acknowledged = last
	}
	t.Logf("%d appends over 4 kills", acknowledged)
	follow(t, log, 0).wait(t, 0, int(acknowledged))
}

func retry[A, B any](fn func() (A, B, error)) (a A, b B, err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if a, b, err = fn(); err == nil {
			return a, b, nil
		}
	}
	return a, b, err
}
