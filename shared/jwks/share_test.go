package jwks_test

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func TestIssuersShareAURL(t *testing.T) {
	s := newServer(t, body(set("a")))
	w := run(t, nil, issuer("one", s.URL), issuer("two", s.URL))
	both := func(kid string) bool { return w.kids("one") == kid && w.kids("two") == kid }
	eventually(t, "the set", func() bool { return both("a") })
	if n := s.hits.Load(); n != 1 {
		t.Fatalf("%d fetches", n)
	}
	s.set(body(set("b")))
	eventually(t, "the rotation", func() bool { w.Refresh("one"); w.Refresh("two"); return both("b") })
	if n := s.hits.Load(); n != 2 {
		t.Errorf("%d fetches after a rotation", n)
	}
	// Another timeout or other roots: nothing is shared.
	other := issuer("three", s.URL)
	other.Jwks.Timeout = durationpb.New(time.Second)
	w.SetIssuers([]*pb.Issuer{issuer("one", s.URL), issuer("two", s.URL), other})
	eventually(t, "the third issuer's own fetch", func() bool { return w.kids("three") == "b" && s.hits.Load() == 3 })
}

// However many issuers there are, a URL is fetched once in a ttl, and once in a pause.
func TestSharedURLIsFetchedAsIfByOne(t *testing.T) {
	s := newServer(t, body(set("a")))
	var issuers []*pb.Issuer
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		i := issuer(id, s.URL)
		i.Jwks.Ttl = durationpb.New(100 * time.Millisecond)
		issuers = append(issuers, i)
	}
	start := time.Now()
	run(t, nil, issuers...)
	fetchesIn := func(what string, fetches int64, each time.Duration) {
		t.Helper()
		from := s.hits.Load()
		eventually(t, what, func() bool { return s.hits.Load() >= from+fetches })
		if took := time.Since(start); took < time.Duration(fetches-2)*each {
			t.Errorf("%s: %d fetches in %s", what, fetches, took)
		}
		start = time.Now()
	}
	fetchesIn("fetches at the ttl", 8, 72*time.Millisecond)
	s.set(status(500))
	eventually(t, "the longest pause", func() bool { return time.Since(start) > 500*time.Millisecond })
	start = time.Now()
	fetchesIn("fetches after failures", 10, 20*time.Millisecond)
	if s.most.Load() != 1 {
		t.Errorf("%d fetches at a time", s.most.Load())
	}
}

// An issuer that is removed while its fetch is under way takes nothing from the
// others, and a fetch that nobody waits for ends.
func TestWhoBeganTheFetchLeaves(t *testing.T) {
	answer, gone := make(chan struct{}), make(chan string, 4)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-answer:
			body(set("a"))(w, r)
		case <-r.Context().Done():
			gone <- r.URL.Path
		}
	})
	one, two, three := issuer("one", s.URL), issuer("two", s.URL), issuer("three", s.URL+"/three")
	for _, i := range []*pb.Issuer{one, two, three} {
		i.Jwks.Timeout = durationpb.New(time.Minute)
	}
	w := run(t, nil, one)
	eventually(t, "the fetch", func() bool { return s.open.Load() == 1 })
	w.SetIssuers([]*pb.Issuer{one, two, three})
	joined := time.Now().Add(200 * time.Millisecond) // nobody outside sees that two waits, too
	eventually(t, "the other fetch", func() bool { return s.open.Load() == 2 && time.Now().After(joined) })
	w.SetIssuers([]*pb.Issuer{two})
	if path := <-gone; path != "/three" {
		t.Errorf("the fetch of %q was given up, and two waits for it", path)
	}
	close(answer)
	eventually(t, "the set", func() bool { return w.kids("two") == "a" })
	if n := s.hits.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}
