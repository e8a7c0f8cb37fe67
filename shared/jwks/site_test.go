package jwks

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A fetch that was given up says nothing about the server, and who comes next
// does not wait for it.
func TestGivenUpFetchIsForgotten(t *testing.T) {
	began := make(chan struct{}, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	all := sites{backoff: time.Second, maxBackoff: time.Minute, byKey: map[siteKey]*site{}}
	s, err := all.acquire(server.URL, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if f, _ := s.get(ctx, time.Time{}); f != nil {
			t.Errorf("a fetch that was given up: %+v", f)
		}
	}()
	<-began
	cancel()
	<-done
	if s.flight != nil || s.last != nil || s.failures != 0 {
		t.Errorf("flight %v, last %v, %d failures", s.flight, s.last, s.failures)
	}
	all.release(s)
	if len(all.byKey) > 0 {
		t.Error("a site that nobody uses is kept")
	}
}
