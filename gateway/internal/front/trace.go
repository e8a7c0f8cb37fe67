package front

import (
	"bytes"

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

// traceID is that of the trace which the request is a part of; empty: of none.
func (call *Call) traceID() string {
	if p, ok := parentOf(&call.block); ok && call.Exchange.Fields != nil {
		return string(p.traceID)
	}
	return ""
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
