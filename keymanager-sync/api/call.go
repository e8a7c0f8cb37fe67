package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/mask"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// longestProblem bounds what is read of a problem, and a line of an import's answer, in bytes.
const longestProblem = 4 << 20

// request is one call before it is sent.
type request struct {
	method, path, contentType string
	query                     url.Values
	body                      []byte
	// stream is sent instead of body; it can be sent once.
	stream io.Reader
	write  Write
}

// answer is a call's result: its outcome and its body.
type answer struct {
	Outcome
	body []byte
}

// call sends a request, to other replicas too where that is safe, and reads the
// whole answer.
func (c *Client) call(ctx context.Context, q request) (answer, error) {
	for attempt := 1; ; attempt++ {
		at := int(c.last.Load()) % len(c.addresses)
		a, err := c.once(ctx, c.addresses[at], q)
		if err == nil || ctx.Err() != nil || attempt >= c.attempts || !q.repeatable(err) {
			return a, err
		}
		c.last.CompareAndSwap(int64(at), int64((at+1)%len(c.addresses)))
		if attempt%len(c.addresses) != 0 {
			continue // there is a replica that has not been asked
		}
		if err := sleep(ctx, backoff(attempt/len(c.addresses))); err != nil {
			return a, err
		}
	}
}

// repeatable reports whether a request that failed may be sent again.
func (q request) repeatable(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true // it never left
	}
	if q.method != http.MethodGet && q.write.IdempotencyKey == "" {
		return false
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Status == http.StatusBadGateway || p.Status == http.StatusServiceUnavailable
	}
	_, lost := errors.AsType[*url.Error](err)
	return lost || errors.Is(err, io.ErrUnexpectedEOF)
}

// backoff is the pause after the nth failure: it doubles, up to about six seconds, and
// has jitter.
func backoff(n int) time.Duration {
	const most = 6
	d := time.Duration(1<<min(n, most)) * 100 * time.Millisecond
	return d/2 + rand.N(d) //nolint:gosec // spreads load, hides nothing
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) once(ctx context.Context, address string, q request) (answer, error) {
	response, err := c.send(ctx, address, q)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return answer{outcomeOf(response), body}, nil
}

func outcomeOf(response *http.Response) Outcome {
	sequence, _ := strconv.ParseUint(response.Header.Get("Portcullis-Sequence"), 10, 64)
	return Outcome{
		Sequence: sequence, ETag: response.Header.Get("ETag"), Fleet: response.Header.Get("Portcullis-Fleet"),
		Pending:  response.StatusCode == http.StatusAccepted,
		Replayed: response.Header.Get("Idempotency-Replayed") == "true",
	}
}

// send sends a request to one replica. An answer that is no success is a *Problem.
func (c *Client) send(ctx context.Context, address string, q request) (*http.Response, error) {
	body := q.stream
	if body == nil && q.body != nil {
		body = bytes.NewReader(q.body)
	}
	r, err := http.NewRequestWithContext(ctx, q.method, address+q.path+q.search(), body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	for name, value := range map[string]string{
		"Content-Type": q.contentType, "If-Match": q.write.IfMatch, "Idempotency-Key": q.write.IdempotencyKey,
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	if q.write.IfAbsent {
		r.Header.Set("If-None-Match", "*")
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the control plane: %w", mask.Error(err))
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		defer func() { _ = response.Body.Close() }()
		return nil, readProblem(response)
	}
	return response, nil
}

// search is the query with the parameters that all writes have.
func (q request) search() string {
	query := url.Values{}
	maps.Copy(query, q.query)
	if q.write.Wait {
		query.Set("wait", "fleet")
	}
	if q.write.AllowSkew {
		query.Set("allow_skew", "true")
	}
	if q.write.Timeout > 0 {
		query.Set("timeout", q.write.Timeout.String())
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

// readProblem turns an answer that is no success into an error.
func readProblem(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, longestProblem))
	p := &Problem{Status: response.StatusCode, Title: http.StatusText(response.StatusCode)}
	if err != nil {
		return p
	}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, p) != nil {
		p.Detail = fmt.Sprintf("%s answers %s, and not as the control plane does (hint: check the address)",
			response.Request.URL.Host, response.Status)
	}
	if p.Status == http.StatusUnauthorized {
		p.Detail += " (hint: is this token what PORTCULLIS_ADMIN_TOKEN is at the control plane?)"
	}
	return p
}

func withResource(q request, r catalog.Resource) request {
	q.contentType, q.body = "application/json", resource.EncodeJSON(r, resource.WithSecrets())
	return q
}

// decode reads a resource of an answer.
func decode[R catalog.Resource](text []byte, kind pb.Kind) (r R, err error) {
	decoded, err := resource.DecodeAnswer(text, kind)
	if err != nil {
		return r, fmt.Errorf("read the answer: %w", err)
	}
	r, ok := decoded.(R)
	if !ok {
		return r, fmt.Errorf("read the answer: it is a %s", catalog.KindName(catalog.KindOf(decoded)))
	}
	return r, nil
}

func readJSON(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// path is /v1 and the parts, each escaped.
func path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}
