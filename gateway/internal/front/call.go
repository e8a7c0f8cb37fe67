package front

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// Call is one request on its way through the gateway. It can be used again for the
// next one: Begin starts it.
type Call struct {
	// Exchange is filled by Parse, but for Length and Body, which the front sets
	// when the request was parsed, and Answer.
	Exchange exchange.Exchange
	// Decision is filled by Decide.
	Decision pipeline.Decision

	ownID   [idLength]byte
	id      []byte // ownID, or that of a trusted proxy
	trusted bool   // the connection is a trusted proxy's
	began   time.Time
	block   request.Block
	path    []byte
	host    []byte
	via     []netip.Addr
	decided bool
	own     ownHead
	trace   trace
	body    *streamed // of the answer; nil: it has none that is streamed
}

// Raw is a request as an HTTP stack read it.
type Raw struct {
	// Protocol is 0 for one that is not served.
	Protocol exchange.Protocol
	// Method and Target are those of the request line.
	Method, Target []byte
	// Header is the header section, with or without its final empty line.
	Header []byte
	// Address is that of the connection's other end; the zero Addr: it has none.
	Address netip.Addr
	// TLS is of the connection; nil: it has none.
	TLS *tls.ConnectionState
}

// Begin starts a call.
func (c *Core) Begin(call *Call) {
	call.Exchange.Request = request.Request{}
	call.Decision.Reset()
	call.decided, call.trusted, call.body = false, false, nil
	c.ids.next(&call.ownID)
	call.id = call.ownID[:]
	call.began = time.Now()
}

// End drops what must not outlive the request, the view above all.
func (c *Core) End(call *Call) {
	call.Exchange = exchange.Exchange{}
	call.Decision.Reset()
	call.decided = false
}

// Panicked is the error of a request that panicked with value.
func Panicked(value any) error {
	return fmt.Errorf("%w: panic: %v\n%s", denial.Internal.Because(cause.Panic), value, debug.Stack())
}

// Parse fills the call from a request, or refuses it. All that it refuses is of the
// kind that two servers could read differently, so the connection is to be closed.
func (c *Core) Parse(call *Call, raw *Raw) error {
	if raw.Protocol == 0 {
		return denial.VersionNotSupported
	}
	if call.block.Parse(raw.Header) != nil {
		return denial.BadRequest.Because(cause.HeaderSection)
	}
	if err := checkFraming(&call.block); err != nil {
		return err
	}
	old := raw.Protocol == exchange.HTTP10
	if !old && call.block.Count(request.Expect) > 0 && !bytes.EqualFold(call.block.First(request.Expect), []byte("100-continue")) {
		return denial.ExpectationFailed
	}
	if isRefused(raw.Method) {
		return denial.MethodNotAllowed.Because(cause.MethodNeverServed)
	}
	x := &call.Exchange
	x.Fields, x.Protocol = &call.block, raw.Protocol
	x.Request = request.Request{
		Method: raw.Method, Header: &call.block, Address: raw.Address, Secure: raw.TLS != nil, Now: call.began.Unix(),
	}
	if err := call.parseTarget(raw.Target, old); err != nil {
		return denial.BadRequest.Because(targetCause(err))
	}
	if err := call.applyProxies(raw.TLS, c.proxies); err != nil {
		return denial.BadRequest.Because(cause.CertificateField)
	}
	call.adoptID()
	x.ID = call.id
	if c.Config.Tracing != nil {
		c.Config.Tracing.begin(call)
	}
	return nil
}

// adoptID takes a trusted proxy's id for the request's. It belongs to the header section.
func (call *Call) adoptID() {
	if !call.trusted {
		return
	}
	if id, count := call.block.Get(IDHeader); count == 1 && isID(id) {
		call.id = id
	}
}

// applyProxies sets the client's address, scheme and certificate: from the fields of
// a trusted proxy if the connection is one's, else from the connection. Behind a proxy
// that passes certificates on, the one of the TLS connection is the proxy's own.
func (call *Call) applyProxies(state *tls.ConnectionState, p *proxies) (err error) {
	r := &call.Exchange.Request
	p.mark(&call.block)
	call.via = call.via[:0]
	if p.trusts(r.Address) {
		call.trusted = true
		call.block.Trust()
		r.Address, call.via = p.origin(&call.block, r.Address, call.via)
		r.Secure = secure(&call.block, r.Secure)
		if p.certHeader != "" {
			call.Exchange.Via = call.via
			r.Certificate, r.Chain, err = p.certificate(&call.block)
			return err
		}
	}
	call.Exchange.Via = call.via
	if state != nil && len(state.PeerCertificates) > 0 {
		r.Certificate, r.Chain = state.PeerCertificates[0], state.PeerCertificates[1:]
	}
	return nil
}

// parseTarget finds the canonical host and path.
func (call *Call) parseTarget(target []byte, old bool) error {
	scheme, authority, origin, err := request.SplitTarget(target)
	if err != nil {
		return err
	}
	if call.path == nil {
		call.path, call.host = make([]byte, 0, 256), make([]byte, 0, 64)
	}
	r := &call.Exchange.Request
	named := call.block.Count(request.Host)
	if named == 1 {
		if r.Host, r.Port, err = request.CanonicalHost(call.host[:0], call.block.First(request.Host)); err != nil {
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
	r.Path, r.Query, err = request.Canonical(call.path[:0], origin)
	return err
}

// targetCause tells what parseTarget has against a target.
func targetCause(err error) cause.Cause {
	if errors.Is(err, request.ErrHost) || errors.Is(err, request.ErrHostDiffers) {
		return cause.Host
	}
	return cause.Target
}

// checkFraming refuses bodies whose length could be read in two ways
// (RFC 9112 section 6.3).
func checkFraming(b *request.Block) error {
	coded, lengths := b.Count(request.TransferEncoding), b.Count(request.ContentLength)
	switch {
	case coded == 0 && lengths == 0:
		return nil
	case coded+lengths > 1:
		return denial.BadRequest.Because(cause.Framing)
	case coded == 1:
		if !bytes.EqualFold(b.First(request.TransferEncoding), []byte("chunked")) {
			return denial.BadRequest.Because(cause.Framing)
		}
		return nil
	}
	digits := b.First(request.ContentLength)
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return denial.BadRequest.Because(cause.Framing)
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return denial.BadRequest.Because(cause.Framing)
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

// Decide decides about a parsed request, once: by the pipeline, unless it is for a
// page of the gateway's own. What the upstream would refuse is refused here, so
// that the body is not asked for.
func (c *Core) Decide(call *Call) error {
	if call.decided {
		return nil
	}
	if err := c.decide(call); err != nil {
		return err
	}
	if call.Decision.Page == nil {
		if err := call.Decision.Forward.To.Check(&call.Exchange, &call.Decision.Forward); err != nil {
			return err
		}
	}
	call.decided = true
	return nil
}

func (c *Core) decide(call *Call) error {
	r := &call.Exchange.Request
	if len(c.Config.Pages) > 0 && bytes.HasPrefix(r.Path, []byte("/.well-known/")) {
		if page, ok := c.Config.Pages[string(r.Path)]; ok {
			return call.Decision.Serve(page, r.Method)
		}
	}
	return c.Config.Decide(r, &call.Decision)
}

// Forward lets a request that was let through be answered: by its page or its
// upstream. If there is no answer, the error says why.
func (c *Core) Forward(call *Call) error {
	if call.Decision.Page != nil {
		writePage(call, call.Decision.Page)
		return nil
	}
	return call.Decision.Forward.To.Send(&call.Exchange, &call.Decision.Forward)
}
