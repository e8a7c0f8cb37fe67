// Package wire reads the messages of the log from their encoded form
// (https://protobuf.dev/programming-guides/encoding/), as far as indexes need them.
// It makes no messages: what it returns are substrings of what it read.
// Decoding a subscription into messages takes six times as long and makes six
// allocations, where this makes none (BenchmarkRead).
//
// Fields that are not read are listed in the package's test, which fails when the
// schema has one that this package does not know of.
package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// reader reads the fields of one message.
type reader struct {
	rest string
	end  int // of the message, in the change that it is a part of
	// The last field: number and type, and its value if it is a varint, else its bytes.
	field protowire.Number
	kind  protowire.Type
	value uint64
	data  string
	err   error
}

// next reads one field. It is false at the end of the message, and once there is an
// error, which may also be the caller's.
func (r *reader) next() bool {
	if r.rest == "" || r.err != nil {
		return false
	}
	// The conversions to []byte do not copy: protowire only reads.
	field, kind, n := protowire.ConsumeTag([]byte(r.rest))
	if !r.skip(n) {
		return false
	}
	if r.field, r.kind = field, kind; field > protowire.MaxValidNumber {
		r.err = fmt.Errorf("field number %d is out of range", field)
		return false
	}
	switch kind {
	case protowire.VarintType:
		r.value, n = protowire.ConsumeVarint([]byte(r.rest))
		return r.skip(n)
	case protowire.BytesType:
		var size uint64
		if size, n = protowire.ConsumeVarint([]byte(r.rest)); !r.skip(n) {
			return false
		}
		if size > uint64(len(r.rest)) {
			r.err = protowire.ParseError(-1)
			return false
		}
		r.data = r.rest[:size]
		return r.skip(int(size))
	case protowire.Fixed64Type:
		_, n = protowire.ConsumeFixed64([]byte(r.rest))
		return r.skip(n)
	case protowire.Fixed32Type:
		_, n = protowire.ConsumeFixed32([]byte(r.rest))
		return r.skip(n)
	default:
		r.err = fmt.Errorf("wire type %d is not used in this schema", kind)
		return false
	}
}

// varint reports whether the last field is a varint of this number. A known number
// with another type is an unknown field, as it is to protobuf.
func (r *reader) varint(field protowire.Number) bool {
	return r.field == field && r.kind == protowire.VarintType
}

// bytes reports whether the last field is a string, bytes or message of this number.
func (r *reader) bytes(field protowire.Number) bool {
	return r.field == field && r.kind == protowire.BytesType
}

// at is where the bytes of the last field are.
func (r *reader) at() Range {
	return Range{uint32(r.end - len(r.rest) - len(r.data)), uint32(len(r.data))}
}

// nested reads the message that is the last field.
func (r *reader) nested() reader { return reader{rest: r.data, end: r.end - len(r.rest)} }

// skip goes on behind n bytes; n < 0 is an error of protowire.
func (r *reader) skip(n int) bool {
	if n < 0 {
		r.err = protowire.ParseError(n)
		return false
	}
	r.rest = r.rest[n:]
	return true
}
