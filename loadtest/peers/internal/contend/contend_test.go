//go:build linux

package contend

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestParseMetrics(t *testing.T) {
	got := parseMetrics([]byte("# HELP a b\n# TYPE a counter\na 7\nb{api=\"x y\",status=\"2\"} 1.5e+06\nbroken\nc NaN2\n"))
	if len(got) != 2 || got["a"] != 7 || got[`b{api="x y",status="2"}`] != 1.5e6 {
		t.Errorf("got %v", got)
	}
}

// TestCheck: a contender that does not do what it is compared for is found out.
func TestCheck(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte(r.Method + r.URL.Path))
	}))
	defer server.Close()
	c := &Contender{Name: "tested", Listen: strings.TrimPrefix(server.URL, "http://")}
	good := []Probe{
		{What: "allowed", Path: "/x", Headers: []string{"Authorization", "y"}, Status: 200, Answer: []byte("GET/x")},
		{What: "posted", Method: "POST", Path: "/x", Headers: []string{"Authorization", "y"}, Status: 200, Answer: []byte("POST/x")},
		{What: "refused", Path: "/x", Status: 401},
	}
	if err := c.Check(t.Context(), good); err != nil {
		t.Error(err)
	}
	for _, bad := range []Probe{
		{What: "not refused", Path: "/x", Headers: []string{"Authorization", "y"}, Status: 401},
		{What: "not allowed", Path: "/x", Status: 200},
		{What: "another answer", Path: "/x", Headers: []string{"Authorization", "y"}, Status: 200, Answer: []byte("GET/y")},
	} {
		if err := c.Check(t.Context(), []Probe{bad}); err == nil || !strings.Contains(err.Error(), "tested: "+bad.What) {
			t.Errorf("%s: %v", bad.What, err)
		}
	}
}
