//go:debug x509usefallbackroots=1

package providers_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain puts the tests behind a proxy that is the whole internet: each host is
// answered by what the providers are made to serve there, with a certificate of an
// authority that the system trusts.
func TestMain(m *testing.M) {
	net := newInternet()
	roots := x509.NewCertPool()
	roots.AddCert(net.authority)
	x509.SetFallbackRoots(roots) // in place of the system's, by the directive above
	for name, value := range map[string]string{"HTTPS_PROXY": net.proxy.URL, "NO_PROXY": "", "no_proxy": ""} {
		_ = os.Setenv(name, value)
	}
	internet = net
	code := m.Run()
	net.close()
	os.Exit(code)
}

var internet *pretended

// pretended is an internet.
type pretended struct {
	proxy     *httptest.Server
	site      *http.Server
	authority *x509.Certificate
	key       crypto.Signer
	conns     chan net.Conn
	closed    chan struct{}

	mu    sync.Mutex
	pages map[string]http.HandlerFunc // by URL
	certs map[string]*tls.Certificate // by host
}

func newInternet() *pretended {
	p := &pretended{conns: make(chan net.Conn), closed: make(chan struct{}), pages: map[string]http.HandlerFunc{}, certs: map[string]*tls.Certificate{}}
	p.authority, p.key = p.issue("authority", nil, nil)
	p.site = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(p.answer)}
	go func() { _ = p.site.Serve(p) }()
	p.proxy = httptest.NewServer(http.HandlerFunc(p.connect))
	return p
}

func (p *pretended) close() {
	p.proxy.Close()
	close(p.closed)
	_ = p.site.Close()
}

// serve puts a page on the internet.
func (p *pretended) serve(url string, page http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages[url] = page
}

func (p *pretended) answer(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	page := p.pages["https://"+r.Host+r.URL.RequestURI()]
	p.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	page(w, r)
}

// connect is the proxy: it hands each tunnel to the one server.
func (p *pretended) connect(w http.ResponseWriter, r *http.Request) {
	hijacker, ok := w.(http.Hijacker)
	if r.Method != http.MethodConnect || !ok {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		return
	}
	_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
	host, _, _ := strings.Cut(r.Host, ":")
	secure := tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return p.certificate(host), nil
	}})
	select {
	case p.conns <- secure:
	case <-p.closed:
		_ = conn.Close()
	}
}

// Accept, Close and Addr make it a net.Listener of tunnels.
func (p *pretended) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, errors.New("closed")
	}
}
func (p *pretended) Close() error   { return nil }
func (p *pretended) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pretended) certificate(host string) *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.certs[host] == nil {
		cert, key := p.issue(host, p.authority, p.key)
		p.certs[host] = &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
	}
	return p.certs[host]
}

// issue makes a certificate; without a parent it is an authority of its own.
func (p *pretended) issue(name string, parent *x509.Certificate, signer crypto.Signer) (*x509.Certificate, crypto.Signer) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: parent == nil,
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert, key
}
