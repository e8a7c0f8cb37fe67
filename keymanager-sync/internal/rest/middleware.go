package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

// actorKey is the context key of the identity.
type actorKey struct{}

// actorOf names who asks, for the audit.
func actorOf(ctx context.Context) string {
	who, _ := ctx.Value(actorKey{}).(identity)
	return who.name
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// wrap is everything that happens to every request: its id, its deadline, a
// recovered panic, the token, and a line in the log for every write.
func (s *Server) wrap(next http.Handler) http.Handler {
	failed := &failures{addresses: make(map[string]bucket)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.ended.TryRLock() {
			panic(http.ErrAbortHandler) // Serve has returned: what answers are made of may be closed
		}
		defer s.ended.RUnlock()
		started := time.Now()
		id := requestID(r)
		rec := &recorder{ResponseWriter: w}
		rec.Header().Set("X-Request-Id", id)
		rec.Header().Set("X-Content-Type-Options", "nosniff")
		defer s.finish(rec, r, id, started)
		extendWrite(rec, answerTime)
		if r.Body != http.NoBody {
			// Lifted by net/http when the body has been read. Without a body there must
			// be none: the server would take it for the client's leaving.
			extendRead(rec, s.bodyTime)
		}
		who := s.tokens.identify(r)
		if who.role < needed(r) {
			s.turnAway(rec, r, failed)
			return
		}
		next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), actorKey{}, who)))
	})
}

// needed is what a token must open for this request. Whatever is not named here needs an administrator.
func needed(r *http.Request) role {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics", "/openapi.yaml":
		return nobody
	case "/v1/snapshot":
		return node
	}
	return admin
}

func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, failed *failures) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if !failed.allow(host, time.Now()) {
		newProblem(http.StatusTooManyRequests, "too-many-requests",
			"too many requests without a valid token from this address").retryAfter(1).write(w)
		return
	}
	s.logger.LogAttrs(r.Context(), slog.LevelWarn, "request without a valid token",
		slog.String("client", host), slog.String("method", r.Method), slog.String("path", r.URL.Path))
	unauthorized(r).write(w)
}

// finish answers a panic with 500 and writes the audit line.
func (s *Server) finish(rec *recorder, r *http.Request, id string, started time.Time) {
	if cause := recover(); cause != nil {
		if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(cause)
		}
		s.logger.LogAttrs(r.Context(), slog.LevelError, "request panicked", slog.Any("cause", cause),
			slog.String("request_id", id), slog.String("path", r.URL.Path), slog.String("stack", string(debug.Stack())))
		if rec.status != 0 {
			panic(http.ErrAbortHandler) // too late for an answer: cut the connection
		}
		internal().write(rec)
	}
	s.metrics.observe(r, rec.status, started)
	level := slog.LevelDebug
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		level = slog.LevelInfo
	}
	s.logger.LogAttrs(r.Context(), level, "request",
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", rec.status),
		slog.String("request_id", id), slog.Duration("took", time.Since(started)))
}

func internal() *problem {
	return newProblem(http.StatusInternalServerError, "internal",
		"a fault of the control plane; its log has the cause under the X-Request-Id of this answer")
}

// action is a handler that returns its refusal.
type action func(w http.ResponseWriter, r *http.Request) error

// answer runs an action and writes its refusal, if any.
func (s *Server) answer(a action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := a(w, r)
		if err == nil {
			return
		}
		p := toProblem(err)
		switch {
		case p == nil && r.Context().Err() != nil:
			panic(http.ErrAbortHandler) // the client has gone
		case p == nil:
			s.logger.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.Any("error", err),
				slog.String("request_id", w.Header().Get("X-Request-Id")), slog.String("path", r.URL.Path))
			p = internal()
		case p.Status >= http.StatusInternalServerError:
			s.logger.LogAttrs(r.Context(), slog.LevelWarn, "request not served", slog.Any("error", err),
				slog.String("request_id", w.Header().Get("X-Request-Id")), slog.String("path", r.URL.Path))
		}
		p.write(w)
	})
}

const (
	// bodyTime is how long a body, or the next part of a stream, may take to arrive.
	bodyTime = 30 * time.Second
	// answerTime is how long an answer may take, with all that is waited for.
	answerTime = 3 * time.Minute
)

// extendRead gives the client more time to send. Errors are not for us: a
// connection without deadlines has none to extend.
func extendRead(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d))
}

// extendWrite gives the client more time to receive.
func extendWrite(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// requestID takes over a client's id if it is harmless, or draws one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if len(id) == 0 || len(id) > 64 {
		return rand.Text()
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' {
			return rand.Text()
		}
	}
	return id
}
