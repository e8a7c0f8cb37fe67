package feed

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// While a worker works and breathes, what arrives from the network is served on the
// same processor; without breathing it waits for the work's end or the scheduler's
// patience, 10 ms.
func TestRequestsHaveTheirTurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	b, err := newBreather()
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	served := make(chan struct{})
	go func() {
		var one [1]byte
		_, _ = server.Read(one[:])
		close(served)
	}()
	time.Sleep(10 * time.Millisecond) // it waits
	if _, err := client.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	const most = 20
	for turns := 1; ; turns++ {
		for began := time.Now(); time.Since(began) < 50*time.Microsecond; { // work
		}
		b.breathe()
		select {
		case <-served:
			t.Logf("served after %d turns", turns)
			return
		default:
		}
		if turns == most {
			t.Fatalf("not served in %d turns", turns)
		}
	}
}

// With more processors nobody waits for requests: the others serve them.
func TestWorkDoesNotWaitWithTwoProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	b, err := newBreather()
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if b.r != nil {
		t.Error("it waits for a byte in a pipe")
	}
	b.breathe()
}

// BenchmarkWorkAndAnswersInParallel measures how long a client waits for answers while the
// node works four fifths of the time, in pieces of 100 µs:
//
//	go test -run - -bench WorkAndAnswers -benchtime 1000x ./gateway/internal/feed
func BenchmarkWorkAndAnswersInParallel(b *testing.B) {
	for _, processors := range []int{1, 2} {
		for _, breathing := range []bool{false, true} {
			b.Run(fmt.Sprintf("processors=%d/breathing=%t", processors, breathing), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
				breath, err := newPipeBreather()
				if err != nil {
					b.Fatal(err)
				}
				defer breath.close()
				pause := breath.breathe
				if !breathing {
					pause = func() {}
				}
				client := echoServer(b)
				defer workUntil(pause)()
				took := make([]time.Duration, 0, b.N)
				for b.Loop() {
					var one [1]byte
					began := time.Now()
					if _, err := client.Write(one[:]); err != nil {
						b.Fatal(err)
					}
					if _, err := client.Read(one[:]); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
					time.Sleep(time.Millisecond)
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			})
		}
	}
}

// echoServer returns a connection to a server that sends back what it gets.
func echoServer(b *testing.B) net.Conn {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = client.Close(), server.Close() })
	go func() { _, _ = io.Copy(struct{ io.Writer }{server}, struct{ io.Reader }{server}) }()
	return client
}

// workUntil works, with pauses, until stop is called.
func workUntil(pause func()) (stop func()) {
	var ended atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !ended.Load() {
			for end := time.Now().Add(40 * time.Millisecond); time.Now().Before(end); pause() {
				for began := time.Now(); time.Since(began) < 100*time.Microsecond; { // work
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return func() { ended.Store(true); <-done }
}

func BenchmarkBreathe(b *testing.B) {
	one, err := newPipeBreather()
	if err != nil {
		b.Fatal(err)
	}
	defer one.close()
	b.ReportAllocs()
	for b.Loop() {
		one.breathe()
	}
}
