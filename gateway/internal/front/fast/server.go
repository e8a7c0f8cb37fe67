// Package fast is the front for HTTP/1.1 on fasthttp.
//
// fasthttp waits for the first byte of a body before it calls the handler, so a
// client that sends a header section, no Expect and no body gets its answer when
// ReadTimeout has passed.
package fast

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// Server serves requests. Make it with New.
type Server struct {
	core *front.Core
	http *fasthttp.Server
}

// New makes a Server; it serves nothing before Run.
func New(config front.Config) (*Server, error) {
	core, err := front.NewCore(config)
	if err != nil {
		return nil, err
	}
	s := &Server{core: core}
	s.http = &fasthttp.Server{
		Handler:       s.handle,
		ExpectHandler: s.expect,
		ErrorHandler:  s.fail,
		Logger:        printer{core.Config.Logger},

		// Bounds of one address, and the time for each piece of an answer, are the
		// listener's matter.
		ReadBufferSize:  core.Config.MaxHeader,
		ReadTimeout:     core.Config.ReadTimeout,
		IdleTimeout:     core.Config.IdleTimeout,
		Concurrency:     core.Config.MaxConns,
		LazyRequestTime: true,

		// Bodies are streams, of which the server reads as little as it can
		// ahead; their real bound is the upstream's.
		StreamRequestBody:  true,
		MaxRequestBodySize: 1,

		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		NoDefaultDate:                true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
	}
	return s, nil
}

// Hurry leaves out what is left of DrainDelay, see front.Core.
func (s *Server) Hurry() { s.core.Hurry() }

// Run serves ln until ctx ends, and then drains, as front.Core.Run does.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	return s.core.Run(ctx, ln, server{s.http})
}

// Totals are the requests answered and the requests refused since the start.
func (s *Server) Totals() (requests, denials uint64) { return s.core.Totals() }

// server is a front.Server.
type server struct{ *fasthttp.Server }

// Shutdown implements front.Server.
func (s server) Shutdown(ctx context.Context) error { return s.ShutdownWithContext(ctx) }

// lengthOf returns the length of a request's body.
func lengthOf(x *exchange.Exchange, h *fasthttp.RequestHeader) int64 {
	switch {
	case x.Fields.Count(request.TransferEncoding) > 0:
		return exchange.UnknownLength
	case x.Fields.Count(request.ContentLength) > 0:
		return int64(h.ContentLength())
	}
	return exchange.NoBody
}

// printer brings fasthttp's messages into the log.
type printer struct{ logger *slog.Logger }

// Printf implements fasthttp.Logger.
func (p printer) Printf(format string, args ...any) {
	p.logger.LogAttrs(context.Background(), slog.LevelDebug, "http server", slog.String("message", fmt.Sprintf(format, args...)))
}
