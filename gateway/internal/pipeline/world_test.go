package pipeline_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
	"github.com/portcullis-gateway/portcullis/shared/policy/route"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// now is when the tests' requests come.
const now = 1_900_000_000

const secret = "a secret of thirty-two bytes or more"

// common is what most tests need: three issuers; an application with a client of
// two of them and a key.
const common = `
kind: Issuer
id: acme
issuer: https://acme.test
clock_skew: 0s
keys: {hmac_secrets: [{value: ` + secret + `}]}
---
kind: Issuer
id: partner
issuer: https://partner.test
keys: {hmac_secrets: [{value: ` + secret + `}]}
---
kind: Issuer
id: open
issuer: https://open.test
validate_subscription: false
keys: {hmac_secrets: [{value: ` + secret + `}]}
---
kind: Application
id: mobile
name: Mobile
clients: [{issuer: acme, client_id: mobile-app}, {issuer: open, client_id: mobile-app}]
api_keys:
  - {id: k1, sha256: ` + keyHash + `}
  - {id: old, sha256: ` + oldKeyHash + `, expires_at: 2030-03-17T17:46:40Z}
---
kind: Application
id: desktop
name: Desktop
clients: [{issuer: acme, client_id: desktop-app}]
---
`

// The SHA-256 of "hello" and of "old". The old key expires at `now`.
const (
	keyHash    = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	oldKeyHash = "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4"
)

// orders is an Api with one plan, to which mobile has subscribed.
const orders = `
kind: Api
id: orders
name: Orders
version: 1.0.0
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
---
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme]}
---
kind: Subscription
id: mobile-orders
application: mobile
plan: orders-jwt
status: ACCEPTED
---
`

// world is a node's memory and what decides by it.
type world struct {
	t        testing.TB
	state    *catalog.State
	pipeline *pipeline.Pipeline
	view     *pipeline.View
	pool     *fast.Pool
	signer   *assertion.Signer
}

func newSigner(t testing.TB) *assertion.Signer {
	t.Helper()
	text, err := assertion.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s, err := assertion.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t testing.TB, yaml ...string) *world {
	t.Helper()
	w := &world{
		t: t, state: catalog.Empty(), pool: fast.NewPool(),
		pipeline: pipeline.New(authn.New(authn.Config{}), restrict.NewStore(0)), signer: newSigner(t),
	}
	w.put(yaml...)
	return w
}

// put folds resources into the state and compiles anew.
func (w *world) put(yaml ...string) {
	w.t.Helper()
	w.fold(yaml...)
	w.compile()
}

// fold takes resources as they are: what the control plane would not let in is
// the nodes' problem, too. An Api is in force at once.
func (w *world) fold(yaml ...string) {
	w.t.Helper()
	docs, err := resource.DecodeYAML("test.yaml", []byte(strings.Join(yaml, "\n---\n")))
	if err != nil {
		w.t.Fatal(err)
	}
	var changes []*pb.Change
	for _, doc := range docs {
		kind, id := catalog.KindOf(doc.Resource), doc.Resource.GetId()
		m := proto.Clone(doc.Resource).(catalog.Resource)
		if api, ok := m.(*pb.Api); ok {
			stopped := api.GetDescription() == "stopped"
			m = &pb.Deployment{Revision: 1, Api: api, Stopped: stopped}
			kind = pb.Kind_KIND_DEPLOYMENT
		}
		m.ProtoReflect().Clear(m.ProtoReflect().Descriptor().Fields().ByName("id"))
		encoded, err := proto.Marshal(m)
		if err != nil {
			w.t.Fatal(err)
		}
		changes = append(changes, &pb.Change{Kind: kind, Id: id, Version: 1, Resource: encoded, CreatedAt: now - 1000})
	}
	w.change(changes...)
}

func (w *world) change(changes ...*pb.Change) {
	w.t.Helper()
	state, err := w.state.WithChanges(changes)
	if err != nil {
		w.t.Fatal(err)
	}
	if rejects := state.Rejects(); len(rejects) > 0 {
		w.t.Fatal(rejects)
	}
	w.state = state
	if w.view != nil {
		w.view = pipeline.NewView(state, w.view.Routes, w.view.Keyring)
	}
}

func (w *world) remove(kind pb.Kind, id string) {
	w.change(&pb.Change{Kind: kind, Id: id, Version: 2, Removed: true})
}

func all[T catalog.Resource](w *world, kind pb.Kind) []T {
	var found []T
	for r := range w.state.All(kind) {
		m, err := r.Decode()
		if err != nil {
			w.t.Fatal(err)
		}
		found = append(found, m.(T))
	}
	return found
}

// input is what a deployment is compiled from.
func (w *world) input(d *pb.Deployment) compile.Input {
	return compile.Input{Deployment: d, Plans: all[*pb.Plan](w, pb.Kind_KIND_PLAN), Issuer: func(id string) *pb.Issuer {
		m, _ := catalog.Lookup[*pb.Issuer](w.state, pb.Kind_KIND_ISSUER, id)
		return m
	}}
}

// bound is a deployment as a node has it.
func (w *world) bound(d *pb.Deployment) *pipeline.Api {
	w.t.Helper()
	return w.boundTo(w.input(d))
}

func (w *world) boundTo(in compile.Input) *pipeline.Api {
	w.t.Helper()
	compiled, faults := compile.NewApi(in)
	if len(faults) > 0 {
		w.t.Fatal(faults)
	}
	api, err := pipeline.Node{Upstreams: w.pool.Prepare, Signer: w.signer}.Bind(compiled, w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	return api
}

func (w *world) compile() {
	w.t.Helper()
	var entries []route.Entry[pipeline.Api]
	for _, d := range all[*pb.Deployment](w, pb.Kind_KIND_DEPLOYMENT) {
		entries = append(entries, w.bound(d).Entries()...)
	}
	table, err := route.New(entries)
	if err != nil {
		w.t.Fatal(err)
	}
	var issuers []*authn.Issuer
	for _, i := range all[*pb.Issuer](w, pb.Kind_KIND_ISSUER) {
		issuer, faults := compile.NewIssuer(i, nil, keyset.Secrets{})
		if len(faults) > 0 {
			w.t.Fatal(faults)
		}
		issuers = append(issuers, authn.NewIssuer(issuer))
	}
	w.view = pipeline.NewView(w.state, table, authn.NewKeyring(issuers))
}

// get is a request: its path with a query, and header lines "Name: value".
func get(target string, headers ...string) *request.Request { return ask("GET", target, headers...) }

func ask(method, target string, headers ...string) *request.Request {
	path, query, _ := strings.Cut(target, "?")
	fields := request.Fields{}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		fields = append(fields, request.Field{Name: name, Value: value})
	}
	return &request.Request{
		Method: []byte(method), Host: []byte("api.test"), Path: []byte(path), Query: []byte(query),
		Header: fields, Address: netip.MustParseAddr("192.0.2.7"), Now: now,
	}
}

func (w *world) decide(r *request.Request) (*pipeline.Decision, error) {
	d := &pipeline.Decision{}
	err := w.pipeline.Decide(w.view, r, d)
	return d, err
}

// token signs claims, given as JSON members, by acme; its client is mobile-app.
func token(claims ...string) string { return tokenOf("https://acme.test", "mobile-app", claims...) }

func tokenOf(issuer, client string, claims ...string) string {
	members := map[string]json.RawMessage{}
	set := func(name string, value any) {
		encoded, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		members[name] = encoded
	}
	set("iss", issuer)
	if client != "" {
		set("azp", client)
	}
	set("sub", "alice")
	set("jti", "j1")
	set("iat", now-60)
	set("exp", now+600)
	if err := json.Unmarshal([]byte("{"+strings.Join(claims, ",")+"}"), &members); err != nil {
		panic(err)
	}
	payload, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(payload)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func bearer(claims ...string) string { return "Authorization: Bearer " + token(claims...) }

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func date(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }
