package introspect

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Client asks one issuer's server. It is safe for concurrent use.
type Client struct {
	settings *Settings
	http     *http.Client
	breaker  breaker
	metadata metadata
	turns    turns
}

// NewClient makes a Client. It starts nothing.
func NewClient(s *Settings) *Client {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: s.timeout}).DialContext,
		TLSClientConfig:        s.tls(),
		TLSHandshakeTimeout:    s.timeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    maxAtATime,
		MaxConnsPerHost:        maxAtATime,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	return &Client{
		settings: s,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close drops idle connections. The Client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Circuit reports whether the circuit breaker is open (or half open), and how often it has opened.
func (c *Client) Circuit() (open bool, openings uint64) { return c.breaker.state() }

// Ask asks about a token, which must consist of characters that RFC 6750 section
// 2.1 allows, for a caller at this address, who gets its turn beside others. The
// error is ErrInactive or an *Error; it takes no longer than the settings' timeout.
func (c *Client) Ask(ctx context.Context, caller netip.Addr, compact string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.settings.timeout)
	defer cancel()
	turn, ok := c.turns.take(ctx, caller)
	if !ok {
		return nil, &Error{Outcome: Busy, message: "too many tokens wait for the introspection server"}
	}
	defer c.turns.done(turn)
	// Asked only now: the server may have failed while this question waited.
	if !c.breaker.allow(time.Now()) {
		return nil, &Error{Outcome: Open, message: "the introspection server has failed too often and is not asked for a while"}
	}
	well := false
	defer func() { c.breaker.done(time.Now(), well) }()
	answer, err := c.ask(ctx, compact)
	failure, failed := errors.AsType[*Error](err)
	well = !failed || !failure.counts
	return answer, err
}

func (c *Client) ask(ctx context.Context, compact string) (*Answer, error) {
	server, err := c.server(ctx)
	if err != nil {
		return nil, err
	}
	form := url.Values{"token": {compact}, "token_type_hint": {"access_token"}}
	if c.settings.key != nil {
		assertion, err := c.settings.assertion(server.pss, time.Now())
		if err != nil {
			return nil, fault(Unauthorized, err.Error())
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fault(Unreachable, "the introspection URL cannot be used")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.settings.key == nil {
		request.Header.Set("Authorization", c.settings.basic())
	}
	body, err := c.do(request, "the introspection server", token.MaxObject)
	if err != nil {
		return nil, err
	}
	return readAnswer(body)
}

// basic is RFC 6749 section 2.3.1: both parts are form-encoded first.
func (s *Settings) basic() string {
	pair := url.QueryEscape(s.clientID) + ":" + url.QueryEscape(s.secret)
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// do sends a request and reads a whole JSON answer. who names the server in errors.
func (c *Client) do(request *http.Request, who string, limit int64) ([]byte, error) {
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "portcullis")
	// Empty: not sent, and net/http may repeat the request over a new connection
	// when an idle one turns out to be closed.
	request.Header["Idempotency-Key"] = []string{}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, classify(who, err)
	}
	defer response.Body.Close()
	if err := checkStatus(who, response.StatusCode); err != nil {
		return nil, err
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, ofToken(Invalid, who+" answered with a content type other than application/json")
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, classify(who, err)
	case int64(len(body)) > limit:
		return nil, ofToken(TooLarge, who+" answered more than "+strconv.FormatInt(limit, 10)+" bytes")
	}
	return body, nil
}

func checkStatus(who string, status int) error {
	message := who + " answered " + strconv.Itoa(status)
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault(Unauthorized, message+": it does not accept the gateway's client_id with its secret or key")
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return fault(BadStatus, message)
	case status >= 300 && status < 400:
		return fault(BadStatus, message+": redirects are not followed")
	}
	return ofToken(BadStatus, message)
}

func classify(who string, err error) error {
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		return fault(Timeout, who+" did not answer in time")
	}
	// Without the URL, whose query may hold secrets.
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	return fault(Unreachable, who+" cannot be reached: "+err.Error())
}
