package request

import "bytes"

// Kind is what a header field means to an intermediary.
type Kind uint8

// The kinds of header fields.
const (
	// Plain fields are sent on.
	Plain Kind = iota
	// Host, ContentLength, TransferEncoding, Connection and Expect are the
	// fields of those names: read here, and written again for the next hop.
	Host
	ContentLength
	TransferEncoding
	Connection
	Expect
	// HopByHop fields end here (RFC 9110 section 7.6.1).
	HopByHop
	// Reserved fields are set by gateways only, or change what a request means
	// behind the gateway's back: a client's are removed.
	Reserved
	// Forwarding fields tell servers about the client in front of a proxy. They
	// are a proxy's to set: a client's are removed, and so are a trusted proxy's
	// once they have been read.
	Forwarding
	// Odd fields have a name with other characters than letters, digits and
	// '-'. Many servers map those to '_', so that two names become one: they
	// are removed.
	Odd
)

// Line is one header field of a Block, as the client sent it, without the
// blanks around its value.
type Line struct {
	Name, Value []byte
	Kind        Kind
}

// Block is the header section of a request as it came over the wire. The zero
// value is ready for use, and reused by the next Parse. It implements Header.
type Block struct {
	lines   []Line
	count   [Odd + 1]uint8 // of each kind, up to 255
	trusted bool
}

// Parse reads a header section with or without its final empty line. It
// refuses what RFC 9112 section 5 forbids: folded lines, blanks before the
// colon, lines that do not end in CRLF. The Block keeps raw.
func (b *Block) Parse(raw []byte) error {
	b.lines = b.lines[:0]
	b.count = [Odd + 1]uint8{}
	b.trusted = false
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return ErrHeader
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			if len(raw) > 0 {
				return ErrHeader
			}
			return nil
		}
		if err := b.add(line); err != nil {
			return err
		}
	}
	return nil
}

func (b *Block) add(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return ErrHeader
	}
	name := line[:colon]
	odd, ok := nameShape(name)
	if !ok {
		return ErrHeader
	}
	kind := Odd
	if !odd {
		kind = Classify(name)
	}
	b.lines = append(b.lines, Line{Name: name, Value: trimBlanks(line[colon+1:]), Kind: kind})
	if b.count[kind] < 255 {
		b.count[kind]++
	}
	return nil
}

// Lines returns the fields in the order in which they came.
func (b *Block) Lines() []Line { return b.lines }

// Count returns how many fields of a kind there are, up to 255.
func (b *Block) Count(kind Kind) int { return int(b.count[kind]) }

// First returns the value of the first field of a kind; nil: there is none.
func (b *Block) First(kind Kind) []byte {
	if b.count[kind] == 0 {
		return nil
	}
	for i := range b.lines {
		if b.lines[i].Kind == kind {
			return b.lines[i].Value
		}
	}
	return nil
}

// Trust says that the Forwarding fields are those of a trusted proxy: Get finds
// them. The next Parse takes it back.
func (b *Block) Trust() { b.trusted = true }

// Mark makes the fields of this name Forwarding fields.
func (b *Block) Mark(name string) {
	for i := range b.lines {
		l := &b.lines[i]
		if l.Kind != Plain || !equalFoldBytes(l.Name, name) {
			continue
		}
		l.Kind = Forwarding
		b.count[Plain]--
		if b.count[Forwarding] < 255 {
			b.count[Forwarding]++
		}
	}
}

// Get implements Header. Odd fields are not found: they do not exist for the
// steps, as they do not for the upstream; nor are Forwarding fields, but for those
// of a trusted proxy.
func (b *Block) Get(name string) (value []byte, count int) {
	for i := range b.lines {
		l := &b.lines[i]
		if len(l.Name) != len(name) || l.Kind == Odd || l.Kind == Forwarding && !b.trusted || !equalFoldBytes(l.Name, name) {
			continue
		}
		if count == 0 {
			value = l.Value
		}
		count++
	}
	return value, count
}

// nameShape reports whether name is a token (RFC 9110 section 5.6.2), and
// whether it has other characters than letters, digits and '-'.
func nameShape(name []byte) (odd, ok bool) {
	for _, c := range name {
		switch tokenClass[c] {
		case tokenPlain:
		case tokenOdd:
			odd = true
		default:
			return false, false
		}
	}
	return odd, true
}

const (
	tokenNot = iota
	tokenPlain
	tokenOdd
)

//nolint:gochecknoglobals // a constant table
var tokenClass = func() (t [256]byte) {
	for c := range t {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
			t[c] = tokenPlain
		case bytes.IndexByte([]byte("!#$%&'*+.^_`|~"), byte(c)) >= 0:
			t[c] = tokenOdd
		default:
			t[c] = tokenNot
		}
	}
	return t
}()

// Classify returns the kind of a field name that consists of letters, digits
// and '-', in any case. Most names are settled by their first letter.
func Classify(name []byte) Kind {
	if len(name) == 0 {
		return Plain
	}
	switch lower(name[0]) {
	case 'c':
		return classifyC(name)
	case 'e':
		return either(name, "expect", Expect)
	case 'f':
		if equalFoldBytes(name, "front-end-https") {
			return Forwarding
		}
		return either(name, "forwarded", Forwarding)
	case 'h':
		if equalFoldBytes(name, "http2-settings") {
			return HopByHop
		}
		return either(name, "host", Host)
	case 'k':
		return either(name, "keep-alive", HopByHop)
	case 'p':
		if hasPrefixFold(name, "proxy-") {
			return HopByHop
		}
	case 't':
		return classifyT(name)
	case 'u':
		return either(name, "upgrade", HopByHop)
	case 'x':
		if len(name) > 2 && name[1] == '-' {
			return classifyX(name)
		}
	}
	return Plain
}

func classifyC(name []byte) Kind {
	switch len(name) {
	case len("connection"):
		return either(name, "connection", Connection)
	case len("content-length"):
		return either(name, "content-length", ContentLength)
	case len("client-cert"):
		return either(name, "client-cert", Forwarding)
	case len("client-cert-chain"):
		return either(name, "client-cert-chain", Forwarding)
	case len("cf-connecting-ip"):
		return either(name, "cf-connecting-ip", Forwarding)
	}
	return Plain
}

func classifyT(name []byte) Kind {
	switch len(name) {
	case len("te"):
		return either(name, "te", HopByHop)
	case len("trailer"):
		return either(name, "trailer", HopByHop)
	case len("transfer-encoding"):
		return either(name, "transfer-encoding", TransferEncoding)
	case len("true-client-ip"):
		return either(name, "true-client-ip", Forwarding)
	}
	return Plain
}

// classifyX knows the private fields by which proxies tell servers about the
// client, and those that make servers take another method, path or host.
func classifyX(name []byte) Kind {
	switch lower(name[2]) {
	case 'c':
		if equalFoldBytes(name, "x-client-ip") || equalFoldBytes(name, "x-cluster-client-ip") {
			return Forwarding
		}
	case 'e':
		return prefixed(name, "x-envoy-")
	case 'f':
		if equalFoldBytes(name, "x-forwarded") || hasPrefixFold(name, "x-forwarded-") {
			return Forwarding
		}
	case 'h':
		if equalFoldBytes(name, "x-host") {
			return Reserved
		}
		return prefixed(name, "x-http-method")
	case 'j':
		return either(name, "x-jwt-assertion", Reserved)
	case 'm':
		return either(name, "x-method-override", Reserved)
	case 'o':
		return prefixed(name, "x-original-")
	case 'r':
		if equalFoldBytes(name, "x-real-ip") {
			return Forwarding
		}
		if equalFoldBytes(name, "x-request-id") {
			return Reserved
		}
		return prefixed(name, "x-rewrite-")
	}
	return Plain
}

func either(name []byte, is string, kind Kind) Kind {
	if equalFoldBytes(name, is) {
		return kind
	}
	return Plain
}

func prefixed(name []byte, prefix string) Kind {
	if hasPrefixFold(name, prefix) {
		return Reserved
	}
	return Plain
}

func equalFoldBytes(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
