package live

import (
	"net"
	"runtime"
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

func BenchmarkBreathe(b *testing.B) {
	one, err := newBreather()
	if err != nil {
		b.Fatal(err)
	}
	defer one.close()
	b.ReportAllocs()
	for b.Loop() {
		one.breathe()
	}
}
