package front

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
)

// CertForm is how a trusted proxy writes a client's certificate into a field.
type CertForm string

// The forms. In each the field stands once, and what cannot be read is refused: it
// never passes for no certificate.
const (
	// CertRFC9440 is a byte sequence, `:base64 of the DER:`; what is behind the client's
	// certificate stands in a second field whose name ends with -Chain.
	CertRFC9440 CertForm = "rfc9440"
	// CertPEM is percent-encoded PEM, a '+' standing for itself: $ssl_client_escaped_cert
	// of nginx, X-Amzn-Mtls-Clientcert and -Leaf of AWS ALB. The first is the client's.
	CertPEM CertForm = "pem"
	// CertXFCC is X-Forwarded-Client-Cert of Envoy, with Cert or Chain. Of several
	// elements the last one counts: the proxy next to us has added it. Those before it
	// came along with the request.
	CertXFCC CertForm = "xfcc"
	// CertTraefik is base64 of the DER without armour, several separated by commas,
	// percent-encoded or not: X-Forwarded-Tls-Client-Cert. The first is the client's.
	CertTraefik CertForm = "traefik"
)

// read reads all certificates of a field's value, the client's first.
func (f CertForm) read(value string) ([]*x509.Certificate, error) {
	switch f {
	case CertPEM:
		return readPEM(value)
	case CertXFCC:
		return readXFCC(value)
	case CertTraefik:
		return readTraefik(value)
	default:
		return readRFC9440(value)
	}
}

// readRFC9440 reads one certificate: its DER encoding as a byte sequence of RFC 8941.
func readRFC9440(text string) ([]*x509.Certificate, error) {
	if len(text) < 2 || text[0] != ':' || text[len(text)-1] != ':' {
		return nil, errClientCert
	}
	return readBase64(text[1 : len(text)-1])
}

func readBase64(list ...string) ([]*x509.Certificate, error) {
	if len(list) > maxChain+1 {
		return nil, errClientCert
	}
	all := make([]*x509.Certificate, 0, len(list))
	for _, text := range list {
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || strings.ContainsAny(text, "\r\n") {
			return nil, errClientCert
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errClientCert
		}
		all = append(all, cert)
	}
	return all, nil
}

func readTraefik(value string) ([]*x509.Certificate, error) {
	text, err := url.PathUnescape(value) // in which '+' is one
	if err != nil {
		return nil, errClientCert
	}
	return readBase64(strings.Split(text, ",")...)
}

// readPEM wants nothing but certificates: what stands between them may be read
// otherwise by others.
func readPEM(value string) ([]*x509.Certificate, error) {
	text, err := url.PathUnescape(value)
	if err != nil {
		return nil, errClientCert
	}
	var all []*x509.Certificate
	for rest := []byte(strings.TrimSpace(text)); len(rest) > 0; {
		if !bytes.HasPrefix(rest, []byte("-----BEGIN CERTIFICATE-----")) {
			return nil, errClientCert
		}
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return nil, errClientCert
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || len(all) > maxChain {
			return nil, errClientCert
		}
		all = append(all, cert)
		rest = bytes.TrimLeft(rest, "\r\n\t ")
	}
	if len(all) == 0 || strings.Count(text, "-----BEGIN") != len(all) { // Decode passes over what is broken
		return nil, errClientCert
	}
	return all, nil
}

// readXFCC reads the last element. Cert is the client's certificate, Chain that with
// those behind it. An element has each of its names once, but for URI and DNS.
func readXFCC(value string) ([]*x509.Certificate, error) {
	elements, ok := splitQuoted(value, ',')
	if !ok {
		return nil, errClientCert
	}
	pairs, ok := splitQuoted(elements[len(elements)-1], ';')
	if !ok {
		return nil, errClientCert
	}
	var cert, chain string
	for _, pair := range pairs {
		name, text, ok := strings.Cut(strings.TrimSpace(pair), "=")
		to := &cert
		switch {
		case !ok:
			return nil, errClientCert
		case strings.EqualFold(name, "Chain"):
			to = &chain
		case !strings.EqualFold(name, "Cert"):
			continue
		}
		if text = unquote(text); *to != "" || text == "" {
			return nil, errClientCert
		}
		*to = text
	}
	return joinXFCC(cert, chain)
}

// joinXFCC puts Chain behind Cert. If both are there, they speak of one certificate.
func joinXFCC(cert, chain string) ([]*x509.Certificate, error) {
	if chain == "" {
		leaf, err := readPEM(cert)
		if err != nil || len(leaf) != 1 {
			return nil, errClientCert
		}
		return leaf, nil
	}
	all, err := readPEM(chain)
	if err != nil || cert == "" {
		return all, err
	}
	leaf, err := readPEM(cert)
	if err != nil || len(leaf) != 1 || !leaf[0].Equal(all[0]) {
		return nil, errClientCert
	}
	return all, nil
}

// splitQuoted splits at a character outside of double quotes, within which a
// backslash takes the next character's meaning away. It is false if a quote is not
// closed.
func splitQuoted(text string, at byte) (parts []string, ok bool) {
	quoted, begin := false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == at && !quoted:
			parts = append(parts, text[begin:i])
			begin = i + 1
		}
	}
	return append(parts, text[begin:]), !quoted
}

// unquote takes the quotes away. A certificate has nothing that would be escaped.
func unquote(text string) string {
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		return text[1 : len(text)-1]
	}
	return text
}
