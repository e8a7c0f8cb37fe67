package front

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// The fields of W3C Trace Context.
const (
	traceparent = "traceparent"
	tracestate  = "tracestate"
)

// Bounds of W3C Trace Context.
const (
	parentLength  = 55  // of version 00, in bytes
	maxTracestate = 512 // bytes that are sent on
)

// parent is what a traceparent says, as text. The zero parent: there is none.
type parent struct{ traceID, spanID, flags []byte }

// sampled is the flag of that name.
func (p *parent) sampled() bool { return len(p.flags) == 2 && unhex(p.flags[1])&1 == 1 }

// parentOf reads the one traceparent of a request (section 3.2). Of a later version it
// takes what version 00 has.
func parentOf(b *request.Block) (p parent, ok bool) {
	value, count := b.Get(traceparent)
	if count != 1 || len(value) < parentLength || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return parent{}, false
	}
	version := value[:2]
	p = parent{traceID: value[3:35], spanID: value[36:52], flags: value[53:55]}
	switch {
	case !isHex(version), string(version) == "ff", string(version) == "00" && len(value) > parentLength,
		len(value) > parentLength && value[parentLength] != '-':
		return parent{}, false
	case !isHex(p.traceID), isZero(p.traceID), !isHex(p.spanID), isZero(p.spanID), !isHex(p.flags):
		return parent{}, false
	}
	return p, true
}

// stateOf joins the tracestate fields of a request; nil: there is none that can go on.
// It is not ours to understand: what is too long or has other characters is left out.
func stateOf(b *request.Block) []byte {
	var state []byte
	for _, line := range b.Lines() {
		if !bytes.EqualFold(line.Name, []byte(tracestate)) || len(line.Value) == 0 {
			continue
		}
		if state != nil {
			state = append(state, ',')
		}
		state = append(state, line.Value...)
	}
	if len(state) > maxTracestate || bytes.ContainsFunc(state, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil
	}
	return state
}

// Tracing lets requests be traced.
type Tracing struct {
	// Share is the share of the requests that are traced, if no trusted proxy has decided
	// that before: then its flag counts.
	Share float64
	// Record takes a traced request when it was answered. It must not block.
	Record func(*Record)
}

// Spans are the ids of a traced request's two spans.
type Spans struct {
	Trace [16]byte
	// Server is the span of the request, Client that of its way upstream.
	Server, Client [8]byte
	// Parent is the trusted proxy's span; zero: the trace begins here.
	Parent [8]byte
	// State is the tracestate that came with it.
	State string
}

// trace is what a call knows of its trace. The zero trace: nothing.
type trace struct {
	spans   Spans
	state   []byte
	sampled bool
	text    [parentLength]byte
}

// begin makes the call a part of a trusted proxy's trace, or of a new one: a client's
// own would let it decide what is recorded, and join what does not belong together.
// Upstream goes the id of our span, whether it is recorded or not.
func (t *Tracing) begin(call *Call) {
	ids := &call.trace.spans
	*ids = Spans{}
	randomise(ids.Server[:])
	randomise(ids.Client[:])
	call.trace.state = nil
	known, ok := parent{}, false
	if call.trusted {
		known, ok = parentOf(&call.block)
	}
	if ok {
		_, _ = hex.Decode(ids.Trace[:], known.traceID) // which isHex has looked at
		_, _ = hex.Decode(ids.Parent[:], known.spanID)
		call.trace.sampled, call.trace.state = known.sampled(), stateOf(&call.block)
	} else {
		randomise(ids.Trace[:])
		call.trace.sampled = t.Share > 0 && (t.Share >= 1 || rand.Float64() < t.Share) //nolint:gosec // a sample
	}
	text := append(call.trace.text[:0], "00-"...)
	text = append(hex.AppendEncode(text, ids.Trace[:]), '-')
	text = append(hex.AppendEncode(text, ids.Client[:]), "-00"...)
	if call.trace.sampled {
		text[len(text)-1] = '1'
	}
	call.Exchange.Traceparent, call.Exchange.Tracestate = text, call.trace.state
}

// randomise fills an id of 8 or 16 bytes, which is unique and not secret, and never zero.
func randomise(id []byte) {
	for ; len(id) > 0; id = id[8:] {
		binary.LittleEndian.PutUint64(id, rand.Uint64()|1) //nolint:gosec // not secret
	}
}

// traceID is that of the trace which the request is a part of; empty: of none.
func (call *Call) traceID() string {
	if call.Exchange.Traceparent != nil {
		return hex.EncodeToString(call.trace.spans.Trace[:])
	}
	if call.Exchange.Fields == nil {
		return ""
	}
	known, ok := parentOf(&call.block)
	if !ok {
		return ""
	}
	return string(known.traceID)
}

// spans are the ids of the request's spans if it is recorded; nil: it is not.
func (call *Call) spans() *Spans {
	if call.Exchange.Traceparent == nil || !call.trace.sampled {
		return nil
	}
	recorded := call.trace.spans
	recorded.State = string(call.trace.state)
	return &recorded
}

func isHex(text []byte) bool {
	for _, c := range text {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

func isZero(text []byte) bool { return len(bytes.Trim(text, "0")) == 0 }

// unhex is the value of a digit that isHex knows.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}
