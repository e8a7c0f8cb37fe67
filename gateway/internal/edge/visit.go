package edge

import (
	"bytes"
	"net/netip"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/proxy"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// visit is the memory of one request on its way through.
type visit struct {
	id   [idLength]byte
	conn *conn
	// began is when the request was first looked at, by socket.Now.
	began int64
	// now is the same in seconds since 1970.
	now      int64
	block    request.Block
	request  request.Request
	decision pipeline.Decision
	inbound  proxy.Inbound
	path     []byte
	host     []byte
	via      []netip.Addr
	// admitted: Decide was asked already, before 100-continue.
	admitted bool
}

// takeIn fills v from a request, or refuses it. All that it refuses is of the
// kind that two servers could read differently, so the connection is closed.
func (v *visit) takeIn(ctx *fasthttp.RequestCtx, p *peers) error {
	h := &ctx.Request.Header
	old := string(h.Protocol()) == "HTTP/1.0"
	if !old && !h.IsHTTP11() {
		return denial.VersionNotSupported
	}
	if v.block.Parse(h.RawHeaders()) != nil {
		return denial.BadRequest
	}
	if err := checkFraming(&v.block); err != nil {
		return err
	}
	if !old && v.block.Count(request.Expect) > 0 && !bytes.EqualFold(v.block.First(request.Expect), []byte("100-continue")) {
		return denial.ExpectationFailed
	}
	method := h.Method()
	if isRefused(method) {
		return denial.MethodNotAllowed
	}
	r := &v.request
	*r = request.Request{Method: method, Header: &v.block, Client: v.conn.client, Secure: v.conn.secure, Now: v.now}
	if err := v.locate(h.RequestURI(), old); err != nil {
		return denial.BadRequest
	}
	if err := v.meet(ctx, p); err != nil {
		return denial.BadRequest
	}
	v.inbound = proxy.Inbound{Ctx: ctx, Block: &v.block, Client: r.Client, Via: v.via, Secure: r.Secure, RequestID: v.id[:]}
	return nil
}

// meet finds out who the client is, of which trusted proxies know more. Behind
// a proxy that passes certificates on, the one of the TLS connection is the
// proxy's own.
func (v *visit) meet(ctx *fasthttp.RequestCtx, p *peers) (err error) {
	r := &v.request
	p.mark(&v.block)
	v.via = v.via[:0]
	if p.trusts(r.Client) {
		v.block.Trust()
		r.Client, v.via = p.client(&v.block, r.Client, v.via)
		r.Secure = secure(&v.block, r.Secure)
		if p.certHeader != "" {
			r.Peer, r.PeerChain, err = p.certificate(&v.block)
			return err
		}
	}
	if !v.conn.secure {
		return nil
	}
	if state := ctx.TLSConnectionState(); state != nil && len(state.PeerCertificates) > 0 {
		r.Peer, r.PeerChain = state.PeerCertificates[0], state.PeerCertificates[1:]
	}
	return nil
}

// locate finds the canonical host and path.
func (v *visit) locate(target []byte, old bool) error {
	scheme, authority, origin, err := request.SplitTarget(target)
	if err != nil {
		return err
	}
	r := &v.request
	named := v.block.Count(request.Host)
	if named == 1 {
		if r.Host, r.Port, err = request.CanonicalHost(v.host[:0], v.block.First(request.Host)); err != nil {
			return err
		}
	} else if named > 1 || !old {
		return request.ErrHost
	}
	if authority != nil {
		host, authorityPort, err := request.CanonicalHost(nil, authority)
		if err != nil {
			return err
		}
		if named == 1 && !request.SameAuthority(scheme, host, authorityPort, r.Host, r.Port) {
			return request.ErrHostDiffers
		}
		r.Host, r.Port = host, authorityPort
	}
	r.Path, r.Query, err = request.Canonical(v.path[:0], origin)
	return err
}

// checkFraming refuses bodies whose length could be read in two ways
// (RFC 9112 section 6.3).
func checkFraming(b *request.Block) error {
	coded, lengths := b.Count(request.TransferEncoding), b.Count(request.ContentLength)
	switch {
	case coded == 0 && lengths == 0:
		return nil
	case coded+lengths > 1:
		return denial.BadRequest
	case coded == 1:
		if !bytes.EqualFold(b.First(request.TransferEncoding), []byte("chunked")) {
			return denial.BadRequest
		}
		return nil
	}
	digits := b.First(request.ContentLength)
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return denial.BadRequest
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return denial.BadRequest
		}
	}
	return nil
}

// isRefused knows the methods that are never served: CONNECT would make a
// tunnel, TRACE shows credentials.
func isRefused(method []byte) bool {
	switch string(method) {
	case "CONNECT", "TRACE", "TRACK":
		return true
	}
	return false
}

// upstream is where the request goes.
func (v *visit) upstream() *proxy.Upstream {
	u, _ := v.decision.Api.Upstream.(*proxy.Upstream)
	return u
}

// forget drops what must not outlive the request, the view above all.
func (v *visit) forget() {
	v.request = request.Request{}
	v.decision = pipeline.Decision{}
	v.inbound = proxy.Inbound{}
	v.admitted = false
}
