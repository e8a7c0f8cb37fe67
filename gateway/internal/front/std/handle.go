package std

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// ServeHTTP is called for every request that net/http could read: it is parsed,
// decided about, forwarded, and answered.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := new(front.Call)
	s.core.Begin(call)
	a := &answer{w: w, r: r, call: call, draining: s.core.Draining}
	call.Exchange.Answer = a
	var refused *denial.Denial
	err := s.serve(call, a, r)
	if err != nil && !a.committed {
		a.reset()
		refused = s.core.Refuse(call, err)
	}
	a.finish()
	s.core.Answered(call, a.head.Status, a.head.Length, refused, err)
	if a.cut || err != nil && refused == nil {
		panic(http.ErrAbortHandler) // which closes the connection, and says nothing
	}
}

// serve lets a request be answered; the error is why it was not. A panic on the
// way is one, too.
func (s *Server) serve(call *front.Call, a *answer, r *http.Request) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			a.closing = true
			err = front.Panicked(panicked)
		}
	}()
	raw := front.Raw{Protocol: protocolOf(r), Method: []byte(r.Method), Target: []byte(r.RequestURI), Header: header(r), TLS: r.TLS}
	if c, ok := r.Context().Value(connKey{}).(*front.Conn); ok && c != nil {
		raw.Address = c.Address
	}
	// Where a body could have been read in another way, or its end is not known,
	// nothing may be read behind it.
	a.closing = len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1)
	if err := s.core.Parse(call, &raw); err != nil {
		a.closing = true
		return err
	}
	x := &call.Exchange
	x.Length = lengthOf(x, r)
	if err := s.core.Decide(call); err != nil {
		return err
	}
	if x.Length != exchange.NoBody {
		body := new(front.Body)
		body.Reset(s.core.Config.Patience, r.Body, x.Length, http.NewResponseController(a.w))
		x.Body = body
	}
	return errors.Join(s.core.Forward(call))
}

func protocolOf(r *http.Request) exchange.Protocol {
	switch r.Proto {
	case "HTTP/1.1":
		return exchange.HTTP11
	case "HTTP/1.0":
		return exchange.HTTP10
	}
	return 0
}

func lengthOf(x *exchange.Exchange, r *http.Request) int64 {
	switch {
	case x.Fields.Count(request.TransferEncoding) > 0:
		return exchange.UnknownLength
	case x.Fields.Count(request.ContentLength) > 0:
		return r.ContentLength
	}
	return exchange.NoBody
}

// header writes the header section out again, for the one parser that all fronts
// have: with the fields that net/http keeps elsewhere.
func header(r *http.Request) []byte {
	var text []byte
	add := func(name, value string) {
		text = append(append(text, name...), ':', ' ')
		text = append(append(text, value...), '\r', '\n')
	}
	if r.Host != "" || r.ProtoAtLeast(1, 1) {
		add("Host", r.Host)
	}
	for _, coding := range r.TransferEncoding {
		add("Transfer-Encoding", coding)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			add(name, value)
		}
	}
	return text
}
