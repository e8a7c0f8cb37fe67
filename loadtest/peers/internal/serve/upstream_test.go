//go:build linux

package serve

import (
	"testing"
)

func TestContentLength(t *testing.T) {
	for head, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: a\r\n":                                            0,
		"POST / HTTP/1.1\r\nContent-Length: 10240\r\nHost: a\r\n":                  10240,
		"POST / HTTP/1.1\r\nHost: a\r\ncontent-length:7\r\n":                       7,
		"POST / HTTP/1.1\r\nX-Content-Length: 9\r\nHost: a\r\n":                    0,
		"POST / HTTP/1.1\r\n":                                                      0,
		"POST / HTTP/1.1\r\nHost: content-length: 4\r\nContent-Length: 5\r\n":      5,
		"POST / HTTP/1.1\r\nContent-Typ: 1\r\nCONTENT-LENGTH: 12\r\nAccept: *\r\n": 12,
	} {
		if got := contentLength([]byte(head)); got != want {
			t.Errorf("%q: got %d, want %d", head, got, want)
		}
	}
}

func TestBodies(t *testing.T) {
	if len(Answer) != 100 {
		t.Errorf("the small answer has %d bytes", len(Answer))
	}
	for name, size := range map[string]int{"1k": 1 << 10, "10k": 10 << 10, "100k": 100 << 10} {
		if got := len(Bodies()[name]); got != size {
			t.Errorf("%s has %d bytes", name, got)
		}
	}
}
