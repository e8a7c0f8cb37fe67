package rest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
)

// What no request can bring about from outside is tested on the wrapping alone.
func wrapped(t *testing.T, a action) *httptest.Server {
	t.Helper()
	known, err := newTokens(map[string]string{"admin": "a"}, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{tokens: known, logger: slog.New(slog.DiscardHandler), metrics: newMetrics(nil), bodyTime: 50 * time.Millisecond}
	server := httptest.NewServer(s.wrap(s.answer(a)))
	t.Cleanup(server.Close)
	return server
}

func ask(t *testing.T, server *httptest.Server) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, server.URL+"/v1/plans", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer a")
	return server.Client().Do(r)
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	server := wrapped(t, func(http.ResponseWriter, *http.Request) error { panic("BUG: secret detail") })
	answer, err := ask(t, server)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body := new(strings.Builder)
	_ = answer.Write(body)
	if answer.StatusCode != http.StatusInternalServerError || strings.Contains(body.String(), "secret detail") || answer.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s", body)
	}
}

func TestPanicInTheMiddleCutsTheConnection(t *testing.T) {
	t.Parallel()
	server := wrapped(t, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		panic("BUG")
	})
	answer, err := ask(t, server)
	if err == nil {
		defer answer.Body.Close()
		if err = answer.Write(new(strings.Builder)); err == nil {
			t.Error("a broken answer looks whole")
		}
	}
}

func TestUnknownErrorsStayInside(t *testing.T) {
	t.Parallel()
	server := wrapped(t, func(http.ResponseWriter, *http.Request) error { return http.ErrServerClosed })
	answer, err := ask(t, server)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body := new(strings.Builder)
	_ = answer.Write(body)
	if answer.StatusCode != http.StatusInternalServerError || strings.Contains(body.String(), "Server closed") {
		t.Errorf("%s", body)
	}
}

func TestLedgerRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{ledger.ErrKeyTooLong, http.StatusBadRequest, "256"},
		{ledger.ErrInternal, http.StatusInternalServerError, "nothing was changed"},
		{ledger.ErrUncertain, http.StatusServiceUnavailable, "may still take effect"},
		{&ledger.Unavailable{Reason: "why"}, http.StatusServiceUnavailable, "why"},
	} {
		server := wrapped(t, func(http.ResponseWriter, *http.Request) error { return c.err })
		answer, err := ask(t, server)
		if err != nil {
			t.Fatal(err)
		}
		body := new(strings.Builder)
		_ = answer.Write(body)
		_ = answer.Body.Close()
		if answer.StatusCode != c.status || !strings.Contains(body.String(), c.text) {
			t.Errorf("%v: %s", c.err, body)
		}
	}
}

// The server notices by reading that a client leaves. A deadline for that must
// not look as if the client had left.
func TestWaitingOutlivesTheTimeForTheBody(t *testing.T) {
	t.Parallel()
	server := wrapped(t, func(w http.ResponseWriter, r *http.Request) error {
		if _, err := readBody(w, r); err != nil {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
			w.WriteHeader(http.StatusNoContent)
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
	})
	for _, body := range []io.Reader{http.NoBody, strings.NewReader("{}")} {
		r, err := http.NewRequest(http.MethodPost, server.URL+"/v1/plans", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer a")
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNoContent {
			t.Errorf("status %d", answer.StatusCode)
		}
	}
}

func TestABodyThatStandsStillIsGivenUp(t *testing.T) {
	t.Parallel()
	server := wrapped(t, func(w http.ResponseWriter, r *http.Request) error {
		_, err := readBody(w, r)
		return err
	})
	body, feed := io.Pipe()
	defer feed.Close()
	r, err := http.NewRequest(http.MethodPost, server.URL+"/v1/plans", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer a")
	began := time.Now()
	answer, err := server.Client().Do(r)
	if err == nil {
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d", answer.StatusCode)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestServeReturnsAfterTheLastHandler(t *testing.T) {
	t.Parallel()
	known, err := newTokens(map[string]string{"admin": "a"}, "")
	if err != nil {
		t.Fatal(err)
	}
	begun, ended := make(chan struct{}), make(chan struct{})
	s := &Server{tokens: known, logger: slog.New(slog.DiscardHandler), metrics: newMetrics(nil), grace: 10 * time.Millisecond}
	s.handler = s.wrap(s.answer(func(_ http.ResponseWriter, r *http.Request) error {
		close(begun)
		<-r.Context().Done()
		time.Sleep(100 * time.Millisecond) // uses what is closed after Serve
		close(ended)
		return r.Context().Err()
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	go func() {
		r, _ := http.NewRequest(http.MethodGet, "http://"+listener.Addr().String()+"/v1/plans", http.NoBody)
		r.Header.Set("Authorization", "Bearer a")
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
		}
	}()
	if err := s.Serve(ctx, listener); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Serve returned before a handler had ended")
	}
}
