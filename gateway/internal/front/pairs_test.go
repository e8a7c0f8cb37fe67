package front_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/forwardtest"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/std"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	fastfront "github.com/portcullis-gateway/portcullis/gateway/internal/front/fast"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front/fronttest"
	stdfront "github.com/portcullis-gateway/portcullis/gateway/internal/front/std"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Every front works with every forwarder.
func TestPairs(t *testing.T) {
	fronts := map[string]func(front.Config) (fronttest.Front, error){
		"fast": func(c front.Config) (fronttest.Front, error) { return fastfront.New(c) },
		"std":  func(c front.Config) (fronttest.Front, error) { return stdfront.New(c) },
	}
	forwarders := map[string]func() forwardtest.Forwarder{
		"fast": func() forwardtest.Forwarder { return fast.NewPool() },
		"std":  func() forwardtest.Forwarder { return std.New() },
	}
	for frontName, open := range fronts {
		for forwarderName, forwarder := range forwarders {
			t.Run(frontName+" and "+forwarderName, func(t *testing.T) { exchangeAll(t, open, forwarder()) })
		}
	}
}

// exchangeAll sends requests with bodies of all kinds of length, and takes answers of
// the same length, over connections that are kept.
func exchangeAll(t *testing.T, open func(front.Config) (fronttest.Front, error), forwarder forwardtest.Forwarder) {
	t.Helper()
	t.Cleanup(forwarder.Close)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the upstream got %d bytes and %v", len(body), err)
		}
		w.Header().Set("X-Path", r.URL.String())
		if r.ContentLength >= 0 {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(up.Close)
	u := forwarder.Prepare(forwardtest.Settings(t, &pb.Upstream{Targets: []*pb.Target{{Url: up.URL}}}))
	log := new(logged)
	server, err := open(front.Config{AccessLog: front.LogAll, Logger: slog.New(slog.NewJSONHandler(log, nil)), Decide: func(r *request.Request, d *pipeline.Decision) error {
		d.Forward = exchange.Forward{To: u, Path: r.Path, Query: r.Query}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	address := run(t, server)
	for _, length := range []int{0, 10, 20_000, 100_000, 3_000_000} {
		body := strings.Repeat("x", length)
		for _, reader := range []io.Reader{strings.NewReader(body), struct{ io.Reader }{strings.NewReader(body)}} { // with and without a length
			res, err := http.Post("http://"+address+"/a/b?c=d", "text/plain", reader)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(got, []byte(body)) || res.Header.Get("X-Path") != "/a/b?c=d" {
				t.Errorf("%d bytes: %s, %d bytes came back, %v, %v", length, res.Status, len(got), res.Header, err)
			}
			line := log.of(t, res.Header.Get("X-Request-Id"))
			if line.RequestBytes != length || line.ResponseBytes != length || line.Target != up.Listener.Addr().String() ||
				line.Protocol != "HTTP/1.1" || line.Waited <= 0 || line.Took < line.Waited || line.Took > 60_000 {
				t.Errorf("%d bytes are logged as %+v", length, line)
			}
		}
	}
}

// logged is a log in JSON.
type logged struct {
	mu   sync.Mutex
	text []byte
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

type accessLine struct {
	ID            string  `json:"request_id"`
	RequestBytes  int     `json:"request_bytes"`
	ResponseBytes int     `json:"response_bytes"`
	Target        string  `json:"target"`
	Protocol      string  `json:"protocol"`
	Took          float64 `json:"duration_ms"`
	Waited        float64 `json:"upstream_ms"`
}

// of returns the line about a request, which comes when its answer was sent.
func (l *logged) of(t *testing.T, id string) (line accessLine) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		text := string(l.text)
		l.mu.Unlock()
		for one := range strings.Lines(text) {
			if err := json.Unmarshal([]byte(one), &line); err != nil {
				t.Fatal(err)
			}
			if line.ID == id {
				return line
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no line about %s", id)
		}
	}
}

func run(t *testing.T, server fronttest.Front) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, ln) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}
