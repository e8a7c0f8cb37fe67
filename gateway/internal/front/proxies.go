package front

import (
	"bytes"
	"cmp"
	"crypto/x509"
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

// proxies knows the addresses of trusted proxies, and reads the fields in which they
// describe the client in front of them. It is safe for concurrent use.
type proxies struct {
	trusted    []netip.Prefix
	certHeader string // canonical; empty: certificates come by TLS only
	certForm   CertForm
	seed       maphash.Seed
	certs      *lru.Cache[uint64, parsedCert]
}

// parsedCert keeps the text, too: two of one hash are never taken for each other.
type parsedCert struct {
	text  string
	certs []*x509.Certificate
}

func newProxies(trusted []netip.Prefix, certHeader string, form CertForm) (*proxies, error) {
	certs, err := lru.New[uint64, parsedCert](certCacheSize)
	if err != nil {
		return nil, err
	}
	return &proxies{trusted: trusted, certHeader: header.Canonical(certHeader), certForm: cmp.Or(form, CertRFC9440), seed: maphash.MakeSeed(), certs: certs}, nil
}

func (p *proxies) trusts(a netip.Addr) bool {
	for i := range p.trusted {
		if p.trusted[i].Contains(a) {
			return true
		}
	}
	return false
}

// chainHeader is the field for the certificates behind the client's: for
// Client-Cert it is Client-Cert-Chain (RFC 9440 section 2.3), and so on.
func (p *proxies) chainHeader() string { return p.certHeader + "-Chain" }

// mark makes the certificate fields ones that only a trusted proxy can set.
func (p *proxies) mark(b *request.Block) {
	if p.certHeader != "" {
		b.Mark(p.certHeader)
		b.Mark(p.chainHeader())
	}
}

// origin finds the address of the client behind the trusted proxy remote: the
// rightmost in X-Forwarded-For that is not a trusted proxy's, since the ones to the
// left of it were written by that client. It appends the proxies on the way to via,
// the one next to us first. An element that is no address ends the search: the proxy
// that wrote it then counts as the client.
func (p *proxies) origin(b *request.Block, remote netip.Addr, via []netip.Addr) (netip.Addr, []netip.Addr) {
	found := remote
	for _, line := range slices.Backward(b.Lines()) {
		if line.Kind != request.Forwarding || !bytes.EqualFold(line.Name, []byte("X-Forwarded-For")) {
			continue
		}
		for list := line.Value; list != nil; {
			var element []byte
			element, list = cutLast(list)
			a, ok := parseForwarded(element)
			if !ok {
				return found, via
			}
			via = append(via, found)
			found = a
			if !p.trusts(a) {
				return found, via
			}
		}
	}
	return found, via
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

// secure reports whether the client speaks TLS by the last element of a trusted
// proxy's X-Forwarded-Proto. Without one that is http or https it returns direct.
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

// certificate reads the client's certificate from a trusted proxy's fields. Nil: the
// client brought none.
func (p *proxies) certificate(b *request.Block) (leaf *x509.Certificate, chain []*x509.Certificate, err error) {
	value, count := b.Get(p.certHeader)
	switch {
	case count == 0:
		return nil, nil, nil
	case count > 1:
		return nil, nil, errClientCert
	}
	all, err := p.parse(value)
	if err != nil {
		return nil, nil, err
	}
	if p.certForm != CertRFC9440 {
		return all[0], all[1:], nil
	}
	chain, err = p.chain(b)
	return all[0], chain, err
}

// chain reads the certificates behind the client's from their own field (RFC 9440 section 2.3).
func (p *proxies) chain(b *request.Block) (chain []*x509.Certificate, err error) {
	list, count := b.Get(p.chainHeader())
	if count > 1 {
		return nil, errClientCert
	}
	for len(list) > 0 {
		var element []byte
		element, list, _ = bytes.Cut(list, []byte{','})
		c, err := p.parse(bytes.Trim(element, " \t"))
		if err != nil || len(chain) == maxChain {
			return nil, errClientCert
		}
		chain = append(chain, c[0])
	}
	return chain, nil
}

// parse reads what one field has, or remembers it. It has at least one certificate.
func (p *proxies) parse(text []byte) ([]*x509.Certificate, error) {
	hash := maphash.Bytes(p.seed, text)
	if known, ok := p.certs.Get(hash); ok && known.text == string(text) {
		return known.certs, nil
	}
	certs, err := p.certForm.read(string(text))
	if err != nil {
		return nil, err
	}
	p.certs.Add(hash, parsedCert{string(text), certs})
	return certs, nil
}
