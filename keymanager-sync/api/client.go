package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

// Config says where the control plane is.
//
// A call that fails because a replica is away (no connection, or a status of 502 or
// 503) is sent to the next address, and after all of them again to the first, with a
// pause. Reads are always repeated. A write is repeated only if it has an
// IdempotencyKey, with which the log makes sure that it happens once, or if it
// certainly did not arrive, because no connection could be made.
type Config struct {
	// Addresses are the replicas' base URLs: http://10.0.0.11:8081. At least one.
	Addresses []string
	// Token is an admin token.
	Token string
	// Attempts bounds how often a call is sent in all; 0: three times, and once to
	// each address.
	Attempts int
	// Transport carries the requests; nil: one of the client's own.
	Transport http.RoundTripper
}

// Client asks the control plane. It is safe for concurrent use.
type Client struct {
	addresses []string
	token     string
	attempts  int
	http      *http.Client
	// last is the index of the address that answered last.
	last atomic.Int64
}

// New makes a client. It connects when it is first used.
func New(cfg Config) (*Client, error) {
	if len(cfg.Addresses) == 0 {
		return nil, errors.New("no address of the control plane (hint: http://127.0.0.1:8081)")
	}
	if cfg.Token == "" {
		return nil, errors.New("no admin token (hint: the control plane printed one at its first start, or was given one in PORTCULLIS_ADMIN_TOKEN)")
	}
	c := &Client{token: cfg.Token, attempts: cfg.Attempts}
	for _, address := range cfg.Addresses {
		u, err := url.Parse(address)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("control plane %q is not an address (hint: http://127.0.0.1:8081)", mask.URL(address))
		}
		c.addresses = append(c.addresses, strings.TrimSuffix(u.String(), "/"))
	}
	if c.attempts <= 0 {
		const fewest = 3
		c.attempts = max(fewest, len(c.addresses))
	}
	transport := cfg.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			ResponseHeaderTimeout: 2 * time.Minute,
			IdleConnTimeout:       time.Minute,
		}
	}
	c.http = &http.Client{CheckRedirect: refuseRedirect, Transport: transport}
	return c, nil
}

// refuseRedirect: a redirect would carry the token to the host that it names.
func refuseRedirect(r *http.Request, via []*http.Request) error {
	return fmt.Errorf("%s answers with a redirect to %s (hint: is this the control plane?)", via[0].URL.Host, r.URL.Host)
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Write says how a write is carried out. The zero value is a plain write.
type Write struct {
	// Wait until every live node has it in force; the Outcome says how that ended.
	Wait bool
	// Timeout bounds the wait; 0: the control plane's default of 5 seconds. At most a minute.
	Timeout time.Duration
	// AllowSkew lets a change through that a live node would not understand, because its
	// program is older than what the change uses. Without it such a change is refused
	// (schema-skew).
	AllowSkew bool
	// IfMatch refuses the write unless the resource is at this version: an Outcome's
	// ETag, a version number in quotes, or "*": it exists. Not for Create.
	IfMatch string
	// IfAbsent refuses a Put if the resource exists.
	IfAbsent bool
	// IdempotencyKey makes a repetition harmless: a write with a key that the log
	// holds is not carried out again. 1 to 128 bytes; empty: none.
	IdempotencyKey string
	// Cascade lets a Delete remove what refers to the resource, too.
	Cascade bool
	// Revision is the one that the step "rollback" goes back to; 0: the one before.
	Revision uint64
}

// Outcome is what the control plane says about a call.
type Outcome struct {
	// Sequence is a write's number in the log, or what a read is exact at.
	Sequence uint64
	// ETag is the resource's version.
	ETag string
	// Fleet says, after a write with Wait, where it is in force: "in_force; nodes=3",
	// or "pending; …" or "not_in_force; …" with the nodes and reasons.
	Fleet string
	// Pending: the write is durable, but not known to be in force on every live node.
	Pending bool
	// Replayed: the log already held the IdempotencyKey; nothing was done again.
	Replayed bool
}

// Item is a resource with what the control plane says about it.
type Item[R catalog.Resource] struct {
	Resource R
	Outcome
}

// Filters narrow a listing, by the names of the query parameters: "api", "status".
type Filters map[string]string

// Collection is all resources of a kind.
type Collection[R catalog.Resource] struct {
	client *Client
	kind   pb.Kind
	since  uint64
}

// Issuers are identity providers whose tokens are trusted.
func (c *Client) Issuers() Collection[*pb.Issuer] {
	return Collection[*pb.Issuer]{client: c, kind: pb.Kind_KIND_ISSUER}
}

// Apis are backends behind the gateway. Edits are drafts; the step "deploy" puts
// them in force.
func (c *Client) Apis() Collection[*pb.Api] {
	return Collection[*pb.Api]{client: c, kind: pb.Kind_KIND_API}
}

// Plans are ways to consume an Api.
func (c *Client) Plans() Collection[*pb.Plan] {
	return Collection[*pb.Plan]{client: c, kind: pb.Kind_KIND_PLAN}
}

// Applications consume Apis.
func (c *Client) Applications() Collection[*pb.Application] {
	return Collection[*pb.Application]{client: c, kind: pb.Kind_KIND_APPLICATION}
}

// Subscriptions entitle applications to plans.
func (c *Client) Subscriptions() Collection[*pb.Subscription] {
	return Collection[*pb.Subscription]{client: c, kind: pb.Kind_KIND_SUBSCRIPTION}
}

// Revocations are tokens that are refused before they expire.
func (c *Client) Revocations() Collection[*pb.Revocation] {
	return Collection[*pb.Revocation]{client: c, kind: pb.Kind_KIND_REVOCATION}
}

// KeySets are what issuers' JWKS URLs hold; only the control plane writes them.
func (c *Client) KeySets() Collection[*pb.KeySet] {
	return Collection[*pb.KeySet]{client: c, kind: pb.Kind_KIND_KEY_SET}
}

// Deployments are Apis as nodes serve them; only the control plane writes them.
func (c *Client) Deployments() Collection[*pb.Deployment] {
	return Collection[*pb.Deployment]{client: c, kind: pb.Kind_KIND_DEPLOYMENT}
}

// All is the collection of a kind that is known only while the program runs.
func (c *Client) All(kind pb.Kind) Collection[catalog.Resource] {
	return Collection[catalog.Resource]{client: c, kind: kind}
}

// Since is the same collection, read from a state at this sequence or later:
// a write's Outcome.Sequence makes any replica show that write.
func (s Collection[R]) Since(sequence uint64) Collection[R] {
	s.since = sequence
	return s
}

func (s Collection[R]) path(parts ...string) string {
	return path(append([]string{catalog.Collection(s.kind)}, parts...)...)
}

func (s Collection[R]) query() url.Values {
	if s.since == 0 {
		return url.Values{}
	}
	return url.Values{"min_sequence": {strconv.FormatUint(s.since, 10)}}
}

// item decodes the answer to a call for one resource.
func (s Collection[R]) item(a answer, err error) (Item[R], error) {
	if err != nil {
		return Item[R]{}, err
	}
	r, err := decode[R](a.body, s.kind)
	return Item[R]{r, a.Outcome}, err
}

// Get reads one resource.
func (s Collection[R]) Get(ctx context.Context, id string) (Item[R], error) {
	return s.item(s.client.call(ctx, request{method: http.MethodGet, path: s.path(id), query: s.query()}))
}

// GetJSON reads one resource as the control plane writes it, with members that this
// version does not know.
func (s Collection[R]) GetJSON(ctx context.Context, id string) (json.RawMessage, Outcome, error) {
	a, err := s.client.call(ctx, request{method: http.MethodGet, path: s.path(id), query: s.query()})
	return a.body, a.Outcome, err
}

// List reads the resources that pass the filters, in the order of their ids, page by
// page: each page is read from another state. The first error ends it.
func (s Collection[R]) List(ctx context.Context, filters Filters) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for text, err := range s.ListJSON(ctx, filters) {
			var r R
			if err == nil {
				r, err = decode[R](text, s.kind)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// ListJSON is List, with each resource as the control plane writes it.
func (s Collection[R]) ListJSON(ctx context.Context, filters Filters) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		query := s.query()
		query.Set("limit", "1000")
		for _, name := range slices.Sorted(maps.Keys(filters)) {
			query.Set(name, filters[name])
		}
		for more := true; more; more = query.Get("after") != "" {
			page, err := s.page(ctx, query)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			query.Set("after", page.Next)
		}
	}
}

// page reads one page of a list.
func (s Collection[R]) page(ctx context.Context, query url.Values) (page Page, err error) {
	a, err := s.client.call(ctx, request{method: http.MethodGet, path: s.path(), query: query})
	if err != nil {
		return Page{}, err
	}
	err = readJSON(a.body, &page)
	return page, err
}

// Create makes a resource. Without an id the control plane chooses one.
func (s Collection[R]) Create(ctx context.Context, r R, w Write) (Item[R], error) {
	return s.item(s.client.call(ctx, withResource(request{method: http.MethodPost, path: s.path(), write: w}, r)))
}

// Put makes or replaces the resource of this id. A mask keeps the
// secret it was shown for.
func (s Collection[R]) Put(ctx context.Context, r R, w Write) (Item[R], error) {
	return s.item(s.client.call(ctx, withResource(request{method: http.MethodPut, path: s.path(r.GetId()), write: w}, r)))
}

// Delete removes a resource. What is referred to is refused, unless w.Cascade.
func (s Collection[R]) Delete(ctx context.Context, id string, w Write) (Outcome, error) {
	q := request{method: http.MethodDelete, path: s.path(id), query: url.Values{}, write: w}
	if w.Cascade {
		q.query.Set("cascade", "true")
	}
	a, err := s.client.call(ctx, q)
	return a.Outcome, err
}

// Step moves a resource along its lifecycle: "deploy" or "stop" an Api, "publish" a
// Plan, "pause" a Subscription. A step that its state does not allow is a Problem of
// status 409 that names those which it does.
func (s Collection[R]) Step(ctx context.Context, id, verb string, w Write) (Item[R], error) {
	q := request{method: http.MethodPost, path: s.path(id, verb), query: url.Values{}, write: w}
	if w.Revision > 0 {
		q.query.Set("revision", strconv.FormatUint(w.Revision, 10))
	}
	return s.item(s.client.call(ctx, q))
}

// Fleet reads who is there.
func (c *Client) Fleet(ctx context.Context) (Fleet, error) {
	var fleet Fleet
	text, err := c.FleetJSON(ctx)
	if err == nil {
		err = readJSON(text, &fleet)
	}
	return fleet, err
}

// RemoveNode takes a silent node out of the fleet. One that is alive is refused: it
// leaves by itself when it is stopped.
func (c *Client) RemoveNode(ctx context.Context, node string, w Write) (Outcome, error) {
	a, err := c.call(ctx, request{method: http.MethodDelete, path: path("fleet", node), write: w})
	return a.Outcome, err
}

// FleetJSON is Fleet as the control plane writes it.
func (c *Client) FleetJSON(ctx context.Context) (json.RawMessage, error) {
	a, err := c.call(ctx, request{method: http.MethodGet, path: "/v1/fleet"})
	return a.body, err
}
