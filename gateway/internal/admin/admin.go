// Package admin serves what operators ask a node: is it alive, is it ready, its
// metrics, and why it would decide about a request as it would.
//
// It listens on its configured address only. It asks for no credential: the
// address belongs to the operator's network, and /explain is given credentials.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Status is what /readyz tells.
type Status struct {
	State pb.Heartbeat_State
	Epoch uint64
	// Sequence is the last applied one.
	Sequence uint64
	// Age is the time since the node last knew its state to be current.
	Age time.Duration
	// Lag is the number of known log entries that are not applied yet.
	Lag uint64
	// Serving: there is something to decide by.
	Serving bool
	// NotInForce are the resources that this node could not put in force, the newest first.
	NotInForce []Fault
}

// Fault is a resource that is not in force.
type Fault struct {
	// Resource is "plan/gold".
	Resource string `json:"resource"`
	// Sequence is that of the change since when; 0, which is left out: since before
	// the node started, or it came from a file.
	Sequence uint64 `json:"sequence,omitempty"`
	Reason   string `json:"reason"`
}

// Config is what the admin listener shows. All fields are needed.
type Config struct {
	Status   func() Status
	Gatherer prometheus.Gatherer
	// Explain tells how a request would be decided about; its result is sent as JSON.
	Explain func(*request.Request) (any, error)
	// ExplainRefusal tells why the request with this id was refused, as Explain does.
	// An error says that it is not known.
	ExplainRefusal func(id string) (any, error)
	Logger         *slog.Logger
	// JWKS are the public keys of signed_jwt.
	JWKS []byte
	// Pprof offers profiles of the process, which show how it works but no request.
	Pprof bool
}

// Run serves ln until ctx ends. It closes ln.
func Run(ctx context.Context, ln net.Listener, config Config) error {
	server := &http.Server{
		Handler:           Handler(config),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve admin on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// Handler serves /healthz, /readyz, /metrics, /explain and the keys of signed_jwt.
func Handler(config Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { ready(w, config.Status()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(config.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("POST /explain", func(w http.ResponseWriter, r *http.Request) { explain(w, r, config) })
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, r *http.Request) { explainRefusal(w, r, config) })
	if config.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("GET /.well-known/portcullis/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(config.JWKS)
	})
	return mux
}

// ready answers 200 as long as requests are served, from a stale state too:
// the other nodes are most likely no better off.
func ready(w http.ResponseWriter, s Status) {
	code := http.StatusOK
	if !s.Serving || s.State == pb.Heartbeat_LOADING || s.State == pb.Heartbeat_DRAINING {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, struct {
		State    string  `json:"state"`
		Epoch    uint64  `json:"epoch"`
		Sequence uint64  `json:"sequence"`
		Age      float64 `json:"age_seconds"`
		Lag      uint64  `json:"lag"`
		// Apis concerned answer 503; the others are served, so the node is ready.
		NotInForce []Fault `json:"not_in_force,omitempty"`
	}{s.State.String(), s.Epoch, s.Sequence, s.Age.Round(time.Millisecond).Seconds(), s.Lag, s.NotInForce})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
