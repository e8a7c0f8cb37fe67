// Package client speaks the control plane's REST API, for the command line and
// for tests. It decides nothing: what a request means is the server's business.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client asks one control-plane replica. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New makes a client for the replica at base, such as http://127.0.0.1:8081.
func New(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("control plane %q is not an address (hint: http://127.0.0.1:8081)", base)
	}
	if token == "" {
		return nil, errors.New("no admin token (hint: set PORTCULLIS_ADMIN_TOKEN, or give --admin-token-file)")
	}
	// A redirect would carry the token to whoever is named there.
	refuse := func(r *http.Request, _ []*http.Request) error {
		return fmt.Errorf("%s answers with a redirect to %s (hint: is this the control plane?)", u.Host, r.URL.Host)
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ResponseHeaderTimeout: 2 * time.Minute,
		IdleConnTimeout:       time.Minute,
	}
	return &Client{
		base: strings.TrimSuffix(u.String(), "/"), token: token,
		http: &http.Client{CheckRedirect: refuse, Transport: transport},
	}, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Write is how a write is to be carried out.
type Write struct {
	// Wait until every live node has applied it.
	Wait bool
	// Timeout of the wait; 0: the server's default.
	Timeout time.Duration
	// IfMatch is an ETag, or a version number in quotes; empty: unconditional.
	IfMatch string
	// IdempotencyKey makes a repetition harmless; empty: none.
	IdempotencyKey string
}

// Outcome is what the server says about a write or a read beside its body.
type Outcome struct {
	Sequence uint64
	ETag     string
	// Fleet is the header Portcullis-Fleet; empty: nobody waited.
	Fleet string
	// Pending: it is durable, but some live node has not applied it in time.
	Pending bool
	Body    []byte
}

// request is one call before it is sent.
type request struct {
	method, path, contentType string
	query                     url.Values
	body                      io.Reader
	write                     Write
}

func (c *Client) send(ctx context.Context, q request) (*http.Response, error) {
	if q.query == nil {
		q.query = url.Values{}
	}
	if q.write.Wait {
		q.query.Set("wait", "fleet")
	}
	if q.write.Timeout > 0 {
		q.query.Set("timeout", q.write.Timeout.String())
	}
	target := c.base + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, target, q.body)
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
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the control plane: %w", err)
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		defer func() { _ = answer.Body.Close() }()
		return nil, readProblem(answer)
	}
	return answer, nil
}

// call sends a request and reads the whole answer.
func (c *Client) call(ctx context.Context, q request) (Outcome, error) {
	answer, err := c.send(ctx, q)
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return Outcome{}, fmt.Errorf("read the answer: %w", err)
	}
	sequence, _ := strconv.ParseUint(answer.Header.Get("Portcullis-Sequence"), 10, 64)
	return Outcome{
		Sequence: sequence, ETag: answer.Header.Get("ETag"), Fleet: answer.Header.Get("Portcullis-Fleet"),
		Pending: answer.StatusCode == http.StatusAccepted, Body: body,
	}, nil
}

// Get reads one resource as JSON.
func (c *Client) Get(ctx context.Context, collection, id string) (Outcome, error) {
	return c.call(ctx, request{method: http.MethodGet, path: path(collection, id)})
}

// page is a part of a listing.
type page struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next"`
}

func (c *Client) page(ctx context.Context, collection string, query url.Values) (page, error) {
	var p page
	answer, err := c.call(ctx, request{method: http.MethodGet, path: path(collection), query: query})
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(answer.Body, &p); err != nil {
		return p, fmt.Errorf("read the answer: %w", err)
	}
	return p, nil
}

// List reads all resources of a collection that pass the filters, page by page.
func (c *Client) List(ctx context.Context, collection string, filters url.Values) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		query := url.Values{"limit": {"1000"}}
		maps.Copy(query, filters)
		for more := true; more; more = query.Get("after") != "" {
			p, err := c.page(ctx, collection, query)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range p.Items {
				if !yield(item, nil) {
					return
				}
			}
			query.Set("after", p.Next)
		}
	}
}

// Create makes a resource from its JSON.
func (c *Client) Create(ctx context.Context, collection string, body []byte, w Write) (Outcome, error) {
	return c.call(ctx, request{
		method: http.MethodPost, path: path(collection), contentType: "application/json", body: bytes.NewReader(body), write: w,
	})
}

// Delete removes a resource; with cascade also what refers to it.
func (c *Client) Delete(ctx context.Context, collection, id string, cascade bool, w Write) (Outcome, error) {
	query := url.Values{}
	if cascade {
		query.Set("cascade", "true")
	}
	return c.call(ctx, request{method: http.MethodDelete, path: path(collection, id), query: query, write: w})
}

// Step moves a resource along its lifecycle. revision is for rollback; 0: the previous one.
func (c *Client) Step(ctx context.Context, collection, id, verb string, revision uint64, w Write) (Outcome, error) {
	query := url.Values{}
	if revision > 0 {
		query.Set("revision", strconv.FormatUint(revision, 10))
	}
	return c.call(ctx, request{method: http.MethodPost, path: path(collection, id, verb), query: query, write: w})
}

// Fleet reads who is out there.
func (c *Client) Fleet(ctx context.Context) (Outcome, error) {
	return c.call(ctx, request{method: http.MethodGet, path: "/v1/fleet"})
}

// File is a text and the name that errors show for it.
type File struct {
	Name string
	Data []byte
}

// Applied is the answer to an apply.
type Applied struct {
	Changes []struct {
		Ref    string `json:"ref"`
		Action string `json:"action"`
	} `json:"changes"`
	Text string `json:"text"`
}

// Apply makes resources as the files say, all or none.
func (c *Client) Apply(ctx context.Context, files []File, dryRun, deploy bool, w Write) (Applied, Outcome, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, f := range files {
		part, err := form.CreateFormFile("file", f.Name)
		if err != nil {
			return Applied{}, Outcome{}, fmt.Errorf("pack %s: %w", f.Name, err)
		}
		_, _ = part.Write(f.Data) // into memory
	}
	_ = form.Close()
	query := url.Values{}
	if dryRun {
		query.Set("dry_run", "true")
	}
	if !deploy {
		query.Set("deploy", "false")
	}
	answer, err := c.call(ctx, request{
		method: http.MethodPost, path: "/v1/apply", query: query, contentType: form.FormDataContentType(), body: &body, write: w,
	})
	if err != nil {
		return Applied{}, Outcome{}, err
	}
	var applied Applied
	if err := json.Unmarshal(answer.Body, &applied); err != nil {
		return Applied{}, answer, fmt.Errorf("read the answer: %w", err)
	}
	return applied, answer, nil
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
