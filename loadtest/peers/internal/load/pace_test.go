//go:build linux

package load

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestPaceFails: a request that is not answered fails the run, and a refusal is counted.
func TestPaceFails(t *testing.T) {
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := served.Add(1)
		if n > 30 && r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler) // the connection is closed
		}
		if n%10 == 0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	p := Pace{Requests: Requests{Target: server.URL, Path: "/good", Connections: 3}, Rate: 200, Seconds: 0.25}
	if r, err := RunPace(t.Context(), p); err != nil || r.Requests != 50 || r.Status != 5 {
		t.Errorf("got %+v, %v", r, err)
	}
	p.Requests.Path = "/broken"
	if r, err := RunPace(t.Context(), p); err == nil {
		t.Errorf("a server that closes connections is good: %+v", r)
	}
	p.Requests.Connections = 0
	if _, err := RunPace(t.Context(), p); err == nil {
		t.Error("no connections are enough")
	}
}

// TestRender: requests are those of a file, from a line on, with the first after the last.
func TestRender(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("/a one\n/b two\n/c three\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := (&Requests{Target: "http://h:1", Lines: file, First: 4, Headers: []string{"Accept", "x"}}).render()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		got = append(got, string(r.URI().Path())+" "+string(r.Header.Peek("Authorization"))+" "+string(r.Header.Peek("Accept")))
	}
	if want := "/b Bearer two x, /c Bearer three x, /a Bearer one x"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []string{"/a\n", ""} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (&Requests{Lines: file}).render(); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}
