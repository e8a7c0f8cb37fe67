// Package std is the front on net/http. It is there to be grown: for other
// protocols than HTTP/1.1, for which there is front/fast.
//
// net/http reads some requests that front/fast refuses, each in one way only (see
// fronttest), and answers what it cannot read itself.
package std

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

// Server serves requests. Make it with New.
type Server struct {
	core *front.Core
	http *http.Server
	open atomic.Int64 // connections
}

// connKey finds the front.Conn of a request.
type connKey struct{}

// New makes a Server; it serves nothing before Run.
func New(config front.Config) (*Server, error) {
	core, err := front.NewCore(config)
	if err != nil {
		return nil, err
	}
	s := &Server{core: core}
	s.http = &http.Server{
		Handler:                      s,
		ReadTimeout:                  core.Config.ReadTimeout,
		ReadHeaderTimeout:            core.Config.ReadTimeout,
		IdleTimeout:                  core.Config.IdleTimeout,
		MaxHeaderBytes:               core.Config.MaxHeader,
		DisableGeneralOptionsHandler: true,
		Protocols:                    new(http.Protocols),
		ErrorLog:                     log.New(printer{core.Config.Logger}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, front.ConnOf(c))
		},
	}
	s.http.ConnState = s.count
	s.http.Protocols.SetHTTP1(true)
	return s, nil
}

// count closes connections beyond MaxConns.
func (s *Server) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.open.Add(1) > int64(s.core.Config.MaxConns) {
			_ = c.Close()
		}
	case http.StateHijacked, http.StateClosed:
		s.open.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// Run serves ln until ctx ends, and then drains, as front.Core.Run does.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	return s.core.Run(ctx, ln, server{s})
}

// Totals are the requests answered and the requests refused since the start.
func (s *Server) Totals() (requests, denials uint64) { return s.core.Totals() }

// server is a front.Server.
type server struct{ *Server }

// Serve implements front.Server.
func (s server) Serve(ln net.Listener) error {
	err := s.http.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown implements front.Server.
func (s server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// printer brings the messages of net/http into the log.
type printer struct{ logger *slog.Logger }

// Write implements io.Writer.
func (p printer) Write(message []byte) (int, error) {
	p.logger.LogAttrs(context.Background(), slog.LevelDebug, "http server", slog.String("message", string(message)))
	return len(message), nil
}
