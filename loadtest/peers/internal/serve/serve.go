//go:build linux

// Package serve is the two servers of the comparison that are ours: the upstream
// behind all contenders, and the bare proxy, which is the floor: the HTTP engine
// of the gateway without the gateway's work.
package serve

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	bufferSize = 16 << 10
	// Memory may grow to five times what is in use before it is collected: the bare
	// proxy holds next to nothing.
	collectAt = 400
)

// Answer is the upstream's answer of 100 bytes.
const Answer = `{"id":1,"state":"shipped","lines":[{"sku":"A-1","count":2},{"sku":"B-77","count":1}],"total":"41.9"}`

// Bodies are the upstream's answers by the last part of the path; every other path gets Answer.
func Bodies() map[string][]byte {
	bodies := map[string][]byte{}
	for name, size := range map[string]int{"1k": 1 << 10, "10k": 10 << 10, "100k": 100 << 10} {
		bodies[name] = bytes.Repeat([]byte(Answer), size/len(Answer)+1)[:size]
	}
	return bodies
}

// Upstream serves Bodies until the process ends.
func Upstream(address string) error {
	debug.SetGCPercent(collectAt)
	bodies, small := Bodies(), []byte(Answer)
	server := &fasthttp.Server{
		NoDefaultServerHeader: true, NoDefaultDate: true, NoDefaultContentType: true, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
		DisableHeaderNamesNormalizing: true, Concurrency: 1 << 16,
		Handler: func(ctx *fasthttp.RequestCtx) {
			path := ctx.Request.Header.RequestURI()
			body, known := bodies[string(path[bytes.LastIndexByte(path, '/')+1:])]
			if !known {
				body = small
			}
			ctx.Response.Header.SetContentType("application/json")
			ctx.Response.SetBodyRaw(body)
		},
	}
	return listen(server, address, nil)
}

// Bare is a reverse proxy as fasthttp allows it at the least cost: the request and
// the answer that were read are what is written; names of fields stay as they are,
// nothing is added, connections stay open on both sides, and there are no timeouts.
// It serves until the process ends. pair may be nil: no TLS.
func Bare(address, upstream string, pair *tls.Certificate) error {
	debug.SetGCPercent(collectAt)
	client := &fasthttp.HostClient{
		Addr: upstream, MaxConns: 1 << 16, MaxIdleConnDuration: 10 * time.Minute,
		ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
		DisablePathNormalizing: true, NoDefaultUserAgentHeader: true, DisableHeaderNamesNormalizing: true,
		MaxIdemponentCallAttempts: 1,
	}
	server := &fasthttp.Server{
		NoDefaultServerHeader: true, NoDefaultContentType: true, NoDefaultDate: true, DisableHeaderNamesNormalizing: true,
		ReadBufferSize: bufferSize, WriteBufferSize: bufferSize, Concurrency: 1 << 16,
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Request.UseHostHeader = true
			if pair != nil {
				ctx.Request.URI().SetScheme("http")
			}
			if err := client.Do(&ctx.Request, &ctx.Response); err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadGateway)
			}
		},
	}
	return listen(server, address, pair)
}

func listen(server *fasthttp.Server, address string, pair *tls.Certificate) error {
	ln, err := net.Listen("tcp", address) //nolint:noctx // it is the whole process
	if err != nil {
		return err
	}
	if pair != nil {
		ln = tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*pair}, NextProtos: []string{"http/1.1"}})
	}
	if err := server.Serve(ln); err != nil {
		return fmt.Errorf("serve %s: %w", address, err)
	}
	return nil
}
