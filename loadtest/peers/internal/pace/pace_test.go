package pace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnswer(t *testing.T) {
	const head = "HTTP/1.1 403 Forbidden\r\nServer: x\r\ncontent-length: 12\r\n\r\n"
	for _, c := range []struct {
		in             string
		status, length int
	}{
		{"", 0, 0},
		{"HTTP/1.1 20", 0, 0},
		{strings.TrimSuffix(head, "\n"), 0, 0},
		{head, 403, len(head) + 12},
		{head + "hello, world", 403, len(head) + 12},
		{"HTTP/1.1 200 OK\r\nContent-Length:0\r\n\r\n", 200, 37},
	} {
		status, length, err := answer([]byte(c.in))
		if err != nil || status != c.status || length != c.length {
			t.Errorf("%q: got %d, %d, %v; want %d, %d", c.in, status, length, err, c.status, c.length)
		}
	}
	for _, bad := range []string{"SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1\r\n\r\n"} {
		if _, _, err := answer([]byte(bad)); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}

func TestRequests(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("/a one\n/b two\n/c three\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := (&Config{Address: "h:1", Lines: file, First: 4, Headers: []string{"Accept", "x"}}).requests()
	if err != nil || len(got) != 3 {
		t.Fatalf("%q, %v", got, err)
	}
	if want := "GET /b HTTP/1.1\r\nHost: h:1\r\nAccept: x\r\nAuthorization: Bearer two\r\n\r\n"; string(got[0]) != want {
		t.Errorf("got %q, want %q", got[0], want)
	}
	if !strings.HasPrefix(string(got[2]), "GET /a ") {
		t.Errorf("after the last line comes %q", got[2])
	}
	got, err = (&Config{Address: "h:1", Path: "/x"}).requests()
	if err != nil || len(got) != 1 || string(got[0]) != "GET /x HTTP/1.1\r\nHost: h:1\r\n\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("/a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, lines := range []string{file, file + "-missing"} {
		if _, err := (&Config{Lines: lines}).requests(); err == nil {
			t.Errorf("%s: no error", lines)
		}
	}
}

func TestPercentile(t *testing.T) {
	if got := percentile([]uint32{1000, 2000, 3000, 4000}, 0.5); got != 3 {
		t.Errorf("got %v", got)
	}
	if got := percentile([]uint32{1000, 2000}, 1); got != 2 {
		t.Errorf("greatest: got %v", got)
	}
	if got := percentile(nil, 0.99); got != 0 {
		t.Errorf("of nothing: got %v", got)
	}
}
