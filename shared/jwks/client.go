package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/discovery"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

const (
	maxRedirects = 3
	maxDiscovery = 64 << 10
)

// failure is an error with its outcome.
type failure struct {
	outcome Outcome
	err     error
	absent  bool // the server is there and does not have what was asked for
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(outcome Outcome, format string, args ...any) error {
	return &failure{outcome: outcome, err: fmt.Errorf(format, args...)}
}

// answer is a good answer.
type answer struct {
	url       string
	unchanged bool // 304: the set is the one the etag was of
	jwks      string
	etag      string
	maxAge    time.Duration // -1: not said
	skipped   []keyset.Skipped
}

// client speaks to one issuer's servers.
type client struct {
	http    *http.Client
	timeout time.Duration
	auth    auth
}

func newClient(caPEM string, timeout time.Duration, auth auth) (*client, error) {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
	}
	if caPEM != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(caPEM)) {
			return nil, errors.New("jwks.ca_pem has no certificate")
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	if auth.key != nil {
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return auth.certificate() }
	}
	return &client{
		http:    &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		timeout: timeout, auth: auth,
	}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// checkRedirect stays on the host that was configured: an open redirect there
// must not lead the fetch, and with it the trust in the keys, elsewhere.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return failed(BadRedirect, "more than %d redirects", maxRedirects)
	case !strings.EqualFold(next.URL.Host, first.Host):
		return failed(BadRedirect, "redirect to another host, %q", next.URL.Host)
	case first.Scheme == "https" && next.URL.Scheme != "https":
		return failed(BadRedirect, "redirect from https to %s", next.URL.Scheme)
	}
	return nil
}

// keySet fetches a JWK set. With an etag the answer may be that it is unchanged.
func (c *client) keySet(ctx context.Context, address, etag string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	reply, err := c.get(ctx, address, etag, keyset.MaxJWKSBytes)
	if err != nil {
		return nil, err
	}
	got := &answer{url: address, maxAge: maxAge(reply.header.Get("Cache-Control"))}
	if reply.unchanged {
		got.unchanged = true
		return got, nil
	}
	set, skipped, err := keyset.ParseJWKS(reply.body, keyset.Options{})
	if err != nil {
		return nil, &failure{outcome: Invalid, err: err}
	}
	if set.Len() == 0 {
		reason := "it is empty"
		if len(skipped) > 0 {
			reason = "of its first key: " + skipped[0].Reason
		}
		return nil, failed(NoUsableKey, "the key set has no usable key (%s)", reason)
	}
	got.jwks, got.skipped = string(set.JWKS()), skipped
	if len(got.jwks) > keyset.MaxJWKSBytes { // written out again, it may be longer
		return nil, failed(TooLarge, "the key set has %d bytes when it is written out; at most %d are accepted", len(got.jwks), keyset.MaxJWKSBytes)
	}
	if tag := reply.header.Get("ETag"); len(tag) <= 256 {
		got.etag = tag
	}
	return got, nil
}

// reply is a response that has been read to its end.
type reply struct {
	header    http.Header
	body      []byte
	unchanged bool // 304
}

// get reads a whole answer of at most limit bytes.
func (c *client) get(ctx context.Context, address, etag string, limit int64) (*reply, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, failed(Unreachable, "%q is not a URL", mask.URL(address))
	}
	if request.URL.Scheme != "https" && request.URL.Scheme != "http" {
		return nil, failed(Unreachable, "%q is not an http or https URL", mask.URL(address))
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("User-Agent", "portcullis")
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	if err := c.auth.sign(request); err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, classify(err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && etag != "":
		return &reply{header: response.Header, unchanged: true}, nil
	case response.StatusCode != http.StatusOK:
		code := response.StatusCode
		return nil, &failure{
			outcome: BadStatus, err: fmt.Errorf("%s answered %d", mask.URL(address), code),
			absent: code >= 400 && code < 500 && code != http.StatusTooManyRequests,
		}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, classify(fmt.Errorf("read answer: %w", err))
	case int64(len(body)) > limit:
		return nil, failed(TooLarge, "%s answered more than %d bytes", mask.URL(address), limit)
	}
	return &reply{header: response.Header, body: body}, nil
}

func classify(err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	err = mask.Error(err)
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		return &failure{outcome: Timeout, err: err}
	}
	return &failure{outcome: Unreachable, err: err}
}

// discover asks the issuer's metadata for its JWKS URL (OpenID Connect Discovery 1.0
// section 4, RFC 8414 section 3), where the server has them.
func (c *client) discover(ctx context.Context, issuer *pb.Issuer) (keys string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for _, address := range discovery.URLs(issuer) {
		var metadata *reply
		metadata, err = c.get(ctx, address, "", maxDiscovery)
		if err == nil {
			return keysURL(address, issuer.GetIssuer(), metadata.body)
		}
		if f, ok := errors.AsType[*failure](err); !ok || !f.absent {
			break
		}
	}
	return "", fmt.Errorf("discover keys: %w", err)
}

// keysURL takes the JWKS URL out of a provider's metadata, if they are the issuer's.
func keysURL(address, issuer string, body []byte) (string, error) {
	shown := mask.URL(address)
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(body, &metadata); err != nil {
		return "", failed(BadDiscovery, "%s is not a JSON object", shown)
	}
	var claimed, keys string
	if json.Unmarshal(metadata["issuer"], &claimed) != nil || claimed != issuer {
		return "", failed(BadDiscovery, "%s speaks for issuer %q, not %q", shown, shorten(claimed), issuer)
	}
	if json.Unmarshal(metadata["jwks_uri"], &keys) != nil {
		return "", failed(BadDiscovery, "%s has no jwks_uri", shown)
	}
	found, err := url.Parse(keys)
	if err != nil || found.Host == "" || found.User != nil || found.Scheme != "https" && (found.Scheme != "http" || strings.HasPrefix(issuer, "https:") || strings.HasPrefix(address, "https:")) {
		return "", failed(BadDiscovery, "%s has a jwks_uri that is not an https URL", shown)
	}
	return keys, nil
}

func shorten(s string) string {
	if len(s) > 128 {
		return strings.ToValidUTF8(s[:128], "") + "…"
	}
	return s
}

// maxAge reads the max-age of a Cache-Control field (RFC 9111 section 5.2.2.1);
// -1 if it has none. no-cache and no-store are passed over: providers send them
// by habit, and obeying would mean a fetch every few seconds.
func maxAge(field string) time.Duration {
	for directive := range strings.SplitSeq(field, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(directive), "=")
		if !ok || !strings.EqualFold(name, "max-age") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
		if err != nil {
			return -1
		}
		return time.Duration(seconds) * time.Second
	}
	return -1
}
