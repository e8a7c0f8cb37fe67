package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// pair is a connection's two ends.
func pair(t testing.TB) (ours *Conn, theirs net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialed.Close(), accepted.Close() })
	return New(dialed), accepted
}

// below hides that a connection is TCP, so that nothing is done by hand.
type below struct{ net.Conn }

func TestReadAndWrite(t *testing.T) {
	for name, wrap := range map[string]func(*Conn) *Conn{
		"by hand": func(c *Conn) *Conn { return c },
		"left":    func(c *Conn) *Conn { return New(below{c.Conn}) },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t)
			ours = wrap(ours)
			const size = 8 << 20 // more than the buffers between hold
			sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
			go func() {
				if _, err := ours.Write(sent); err != nil {
					t.Errorf("write: %v", err)
				}
			}()
			got := make([]byte, size)
			if _, err := io.ReadFull(theirs, got); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("they got something else, %v", err)
			}
			go func() { _, _ = theirs.Write(sent); _ = theirs.Close() }()
			got, err := io.ReadAll(ours)
			if err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("we got something else, %v", err)
			}
		})
	}
}

// A deadline that is moved on holds, and so does one that is moved back; none fires early.
func TestReadDeadlines(t *testing.T) {
	const short, long = 60 * time.Millisecond, 200 * time.Millisecond
	for name, test := range map[string]struct {
		set  []time.Duration
		want time.Duration
	}{
		"one":           {[]time.Duration{short}, short},
		"moved on":      {[]time.Duration{short, long}, long},
		"moved back":    {[]time.Duration{long, short}, short},
		"on and back":   {[]time.Duration{short, long, short}, short},
		"past":          {[]time.Duration{long, -long}, 0},
		"past, then on": {[]time.Duration{-long, short}, short},
	} {
		t.Run(name, func(t *testing.T) {
			ours, _ := pair(t)
			began := time.Now()
			for _, d := range test.set {
				if err := ours.SetReadDeadline(began.Add(d)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := ours.Read(make([]byte, 1))
			took := time.Since(began)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
			if took < test.want || took > test.want+100*time.Millisecond {
				t.Errorf("ended after %s, want %s", took, test.want)
			}
		})
	}
}

func TestReadDeadlineTakenBack(t *testing.T) {
	ours, theirs := pair(t)
	_ = ours.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_ = ours.SetReadDeadline(time.Time{})
	time.AfterFunc(100*time.Millisecond, func() { _, _ = theirs.Write([]byte("x")) })
	if n, err := ours.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

// A peer that reads nothing is waited for as long as WriteTimeout says in each Write,
// or until the write deadline.
func TestWritesThatHaveToWait(t *testing.T) {
	const limit = 100 * time.Millisecond
	for name, set := range map[string]func(*Conn){
		"timeout":  func(c *Conn) { c.WriteTimeout = limit },
		"deadline": func(c *Conn) { c.WriteTimeout = 0; _ = c.SetWriteDeadline(time.Now().Add(limit)) },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t)
			ours.WriteTimeout = 20 * time.Millisecond
			big := make([]byte, 32<<20)
			if _, err := ours.Write(big); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("nobody reads, and the write ended with %v", err)
			}
			set(ours)
			began := time.Now()
			_, err := ours.Write(big)
			if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < limit || took > 5*limit {
				t.Errorf("ended after %s with %v, want %s", took, err, limit)
			}
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			ours.WriteTimeout = 10 * time.Second
			_ = ours.SetWriteDeadline(time.Time{})
			if n, err := ours.Write(big); n != len(big) || err != nil {
				t.Errorf("they read again, and of the write came %d bytes, %v", n, err)
			}
		})
	}
}

func TestQuiet(t *testing.T) {
	ours, theirs := pair(t)
	if !ours.CanBeQuiet() {
		t.Skip("not on this system")
	}
	if !ours.Quiet() {
		t.Fatal("a new connection is not quiet")
	}
	until := func() {
		t.Helper()
		for deadline := time.Now().Add(3 * time.Second); ours.Quiet(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it stays quiet")
			}
		}
	}
	_, _ = theirs.Write([]byte("x"))
	until()
	if n, err := ours.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Fatalf("the look took what there was: %d bytes, %v", n, err)
	}
	if !ours.Quiet() {
		t.Error("not quiet after all was read")
	}
	_ = theirs.Close()
	until()
	if below := New(below{ours.Conn}); below.CanBeQuiet() || below.Quiet() {
		t.Error("quiet, although nobody can look")
	}
}

// The deadline of a Write that had to wait does not end a later one.
func TestWriteDeadlinesDoNotStay(t *testing.T) {
	ours, theirs := pair(t)
	ours.WriteTimeout = 300 * time.Millisecond
	big := make([]byte, 32<<20)
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	if _, err := ours.Write(big); err != nil {
		t.Fatal(err)
	}
	time.Sleep(ours.WriteTimeout + 50*time.Millisecond)
	if _, err := ours.Write(big[:1]); err != nil {
		t.Errorf("the next write: %v", err)
	}
}

// Closing ends what is under way, and may be done by others.
func TestCloseEndsARead(t *testing.T) {
	ours, _ := pair(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
	time.Sleep(20 * time.Millisecond)
	_ = ours.Close()
	wg.Wait()
}

func TestReadAndWriteDoNotAllocate(t *testing.T) {
	ours, theirs := pair(t)
	b := make([]byte, 16)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = ours.Write(b)
		_, _ = io.ReadFull(theirs, b)
		_, _ = theirs.Write(b)
		_ = ours.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = io.ReadFull(ours, b)
	}); n > 0 {
		t.Errorf("%.1f allocations", n)
	}
}
