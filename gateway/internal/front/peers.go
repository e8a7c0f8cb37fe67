package front

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/header"
)

const (
	// certCacheSize is how many certificates from header fields are kept parsed:
	// an LRU, since parsing takes longer than all else that is done to a request.
	certCacheSize = 1024
	// maxChain bounds the certificates behind the client's.
	maxChain = 8
)

// peers knows which of those that connect are proxies whose word counts, and
// reads what they say about the client in front of them. A nil *peers trusts
// nobody. It is safe for concurrent use.
type peers struct {
	trusted    []netip.Prefix
	certHeader string // canonical; empty: certificates come by TLS only
	seed       maphash.Seed
	certs      *lru.Cache[uint64, parsedCert]
}

// parsedCert keeps the text, too: two of one hash are never taken for each other.
type parsedCert struct {
	text string
	cert *x509.Certificate
}

func newPeers(trusted []netip.Prefix, certHeader string) (*peers, error) {
	certs, err := lru.New[uint64, parsedCert](certCacheSize)
	if err != nil {
		return nil, err
	}
	return &peers{trusted: trusted, certHeader: header.Canonical(certHeader), seed: maphash.MakeSeed(), certs: certs}, nil
}

func (p *peers) trusts(a netip.Addr) bool {
	for i := range p.trusted {
		if p.trusted[i].Contains(a) {
			return true
		}
	}
	return false
}

// chainHeader is the field for the certificates behind the client's: for
// Client-Cert it is Client-Cert-Chain (RFC 9440 section 2.3), and so on.
func (p *peers) chainHeader() string { return p.certHeader + "-Chain" }

// mark makes the certificate fields ones that only a trusted proxy can set.
func (p *peers) mark(b *request.Block) {
	if p.certHeader != "" {
		b.Mark(p.certHeader)
		b.Mark(p.chainHeader())
	}
}

// client finds the address of the client behind a trusted proxy: the rightmost
// in X-Forwarded-For that is not a trusted proxy itself, since what stands left
// of it is only what that client says. via gets the proxies between, from the
// client on. What is no address ends the search at the proxy that wrote it.
func (p *peers) client(b *request.Block, remote netip.Addr, via []netip.Addr) (netip.Addr, []netip.Addr) {
	client := remote
	for _, line := range slices.Backward(b.Lines()) {
		if line.Kind != request.Forwarding || !bytes.EqualFold(line.Name, []byte("X-Forwarded-For")) {
			continue
		}
		for list := line.Value; list != nil; {
			var element []byte
			element, list = cutLast(list)
			a, ok := parseForwarded(element)
			if !ok {
				return client, via
			}
			via = append(via, client)
			client = a
			if !p.trusts(a) {
				return client, via
			}
		}
	}
	return client, via
}

// cutLast takes the last element off a comma-separated list; rest is nil after the first one.
func cutLast(list []byte) (element, rest []byte) {
	i := bytes.LastIndexByte(list, ',')
	if i < 0 {
		return bytes.Trim(list, " \t"), nil
	}
	return bytes.Trim(list[i+1:], " \t"), list[:i:i]
}

// parseForwarded reads an address, which may have a port behind it.
func parseForwarded(element []byte) (netip.Addr, bool) {
	text := string(element)
	a, err := netip.ParseAddr(text)
	if err != nil {
		if p, err := netip.ParseAddrPort(text); err == nil {
			return p.Addr().Unmap(), p.Addr().Zone() == ""
		}
		a, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	}
	return a.Unmap(), err == nil && a.Zone() == ""
}

// secure is what a trusted proxy says in X-Forwarded-Proto, the last word of it;
// direct if it says nothing that can be understood.
func secure(b *request.Block, direct bool) bool {
	for _, line := range slices.Backward(b.Lines()) {
		if line.Kind != request.Forwarding || !bytes.EqualFold(line.Name, []byte("X-Forwarded-Proto")) {
			continue
		}
		scheme, _ := cutLast(line.Value)
		if bytes.EqualFold(scheme, []byte("https")) {
			return true
		}
		return direct && !bytes.EqualFold(scheme, []byte("http"))
	}
	return direct
}

var errClientCert = errors.New("a trusted proxy's client certificate cannot be read")

// certificate reads the client's certificate from a trusted proxy's fields
// (RFC 9440). Nil: the client brought none.
func (p *peers) certificate(b *request.Block) (leaf *x509.Certificate, chain []*x509.Certificate, err error) {
	value, count := b.Get(p.certHeader)
	switch {
	case count == 0:
		return nil, nil, nil
	case count > 1:
		return nil, nil, errClientCert
	}
	if leaf, err = p.parse(value); err != nil {
		return nil, nil, err
	}
	list, count := b.Get(p.chainHeader())
	if count > 1 {
		return nil, nil, errClientCert
	}
	for len(list) > 0 {
		var element []byte
		element, list, _ = bytes.Cut(list, []byte{','})
		c, err := p.parse(bytes.Trim(element, " \t"))
		if err != nil || len(chain) == maxChain {
			return nil, nil, errClientCert
		}
		chain = append(chain, c)
	}
	return leaf, chain, nil
}

// parse reads one certificate: its DER encoding as a byte sequence of RFC 8941.
func (p *peers) parse(text []byte) (*x509.Certificate, error) {
	hash := maphash.Bytes(p.seed, text)
	if known, ok := p.certs.Get(hash); ok && known.text == string(text) {
		return known.cert, nil
	}
	if len(text) < 2 || text[0] != ':' || text[len(text)-1] != ':' {
		return nil, errClientCert
	}
	der, err := base64.StdEncoding.Strict().DecodeString(string(text[1 : len(text)-1]))
	if err != nil {
		return nil, errClientCert
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errClientCert
	}
	p.certs.Add(hash, parsedCert{string(text), cert})
	return cert, nil
}
