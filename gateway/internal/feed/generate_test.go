package feed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// Words are what texts of generated definitions are made of: good in one field and
// bad in the next.
func words(key string) []string {
	return []string{
		"", "a", "acme", "partner", "nobody", "orders", "other", "gold", "https://idp.acme.test", "http://127.0.0.1:9", "http://127.0.0.1:9/base?x", "ftp://x",
		"http://[::1", "http://u:p@h", "http://h:99999", "https://h#f", "/orders", "/", "/a/../b", "/a//b", "a/b", "/x/", "/.well-known/portcullis/x",
		"/.well-known/oauth-protected-resource", "Example.test", "example.test", "*.acme.test", "a.*", "a..b", "h:1", "RS256", "ES256", "HS256", "none", "rs256",
		"claims.level >= 2", "claims.a", "request.", "request.method == 'GET'", "request.headers['x-a']", "'a'", "(", "true", "X-User-Id", "x-user-id", "Host",
		"X-JWT-Assertion", "x y", "sub", "iss", "exp", "urn:portcullis:x", "0123456789abcdef0123456789abcdef", "short", key, "-----BEGIN PUBLIC KEY-----", "********",
		"ACME_SECRET", "\x01", "ü", strings.Repeat("a", 9000), "GET", "get", "/v1/**", "/a*b", "orders.read", "at+jwt", "kb+jwt", "application/at+jwt",
	}
}

const templates = `
{kind: Issuer, id: acme, issuer: "https://idp.acme.test", keys: {hmac_secrets: [{value: 0123456789abcdef0123456789abcdef}]}}
---
{kind: Issuer, id: acme, issuer: "https://idp.acme.test", audiences: [orders], algorithms: [RS256, ES256], keys: {jwks_urls: ["https://idp.acme.test/jwks"]}, clock_skew: 5s, claim_mappings: [{remote: scp, local: scope}]}
---
{kind: Issuer, id: acme, issuer: "https://idp.acme.test", discovery: true, introspection: {url: "https://idp.acme.test/i", client_id: gw, client_secret: {env: ACME_SECRET}}}
---
{kind: Api, id: orders, context_path: /orders, upstream: {targets: [{url: "http://127.0.0.1:9"}]}}
---
{kind: Api, id: orders, context_path: /orders, hosts: [api.test, "*.acme.test"], upstream: {targets: [{url: "https://10.0.0.7/base", weight: 2}, {url: "http://10.0.0.8"}], sandbox_targets: [{url: "http://10.0.0.9"}], response_timeout: 5s, max_request_body: 1MiB}, protected_resource: {resource: "https://api.test/orders"}}
---
{kind: Plan, id: gold, api: orders, security: JWT, status: PUBLISHED, jwt: {issuers: [acme], scopes: {any: [orders.read]}, claim_rules: [{claim: level, expression: "claims.level >= 2"}], claims_to_headers: [{claim: sub, header: X-User-Id}], signed_jwt: {claims: [tenant]}}}
---
{kind: Plan, id: gold, api: orders, security: JWT, status: PUBLISHED, selection_rule: "request.method == 'GET'", jwt: {issuers: [acme, partner], token_from: "request.headers['x-a']"}, restrictions: {rate_limit: {requests: 10, period: 1s}, quota: {requests: 5, period: 24h, key: "request.headers['x-a']"}, resource_filter: {allow: [{path: /v1/**, methods: [GET]}]}}}
---
{kind: Plan, id: free, api: orders, security: KEYLESS, status: PUBLISHED, restrictions: {spike_arrest: {requests: 10, period: 1s}}}
---
{kind: Plan, id: keys, api: orders, security: API_KEY, status: PUBLISHED, api_key: {header: X-Key, query: key}}
---
{kind: Plan, id: opaque, api: orders, security: OAUTH2, status: PUBLISHED, oauth2: {issuers: [partner]}}
`

const generatorWorld = `
{kind: Issuer, id: acme, issuer: "https://idp.acme.test", keys: {hmac_secrets: [{value: 0123456789abcdef0123456789abcdef}]}}
---
{kind: Issuer, id: partner, issuer: "https://partner.test", keys: {hmac_secrets: [{value: 0123456789abcdef0123456789abcdef}]}, introspection: {url: "https://partner.test/i", client_id: gw, client_secret: {value: s}}}
---
{kind: Api, id: orders, context_path: /orders, upstream: {targets: [{url: "http://127.0.0.1:9"}]}}
---
{kind: Plan, id: first, api: orders, security: JWT, status: PUBLISHED, jwt: {issuers: [acme]}}
---
{kind: Api, id: other, context_path: /other, upstream: {targets: [{url: "http://127.0.0.1:9"}]}}
---
{kind: Plan, id: open, api: other, security: KEYLESS, status: PUBLISHED}
`

// TestAcceptedIsInForce makes definitions of the schema, spoiled and combined, and
// shows both planes each of them: what the control plane accepts a node puts in
// force, and what it refuses for what it says a node would refuse, too.
//
// `go tool task test:definitions` makes 20,000; with the race detector they are fewer.
func TestAcceptedIsInForce(t *testing.T) {
	for part := range 4 {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			acceptedIsInForce(t, part*generated/4, (part+1)*generated/4)
		})
	}
}

func acceptedIsInForce(t *testing.T, from, until int) {
	t.Helper()
	g := newGenerator(t)
	accepted, refused, other := 0, 0, 0
	for i := from; i < until; i++ {
		g.random = mathrand.New(mathrand.NewPCG(1, uint64(i)))
		m := g.definition()
		changes, err := g.propose(m)
		switch {
		case err == nil:
			accepted++
			if faults := g.compile(t, changes); len(faults) > 0 {
				t.Errorf("%d: accepted, and not in force: %v\n%v", i, faults, m)
			}
		case g.invalid(err):
			refused++
			if faults := g.compile(t, raw(t, m)); len(faults) == 0 {
				t.Errorf("%d: refused, and in force: %v\n%v", i, err, m)
			}
		default:
			other++ // for what else there is, or for how it came
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d accepted, %d refused, %d refused for what else there is", accepted, refused, other)
	if made := until - from; accepted < made/4 || refused < made/4 {
		t.Error("the generator makes too few of one sort")
	}
}

type generator struct {
	base      *catalog.State
	compiler  *Compiler
	templates []catalog.Resource
	words     []string
	random    *mathrand.Rand
}

func newGenerator(t *testing.T) *generator {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{words: words(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))}
	g.templates = decodedResources(t, templates)
	g.base, err = rules.FromResources(decodedResources(t, generatorWorld), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	// The node has every variable and file; each is good as a secret and as a private key.
	g.compiler = &Compiler{Upstreams: fast.NewPool().Prepare, Signer: testSigner(t, key), Secrets: keyset.Secrets{
		Env:  func(string) (string, bool) { return key, true },
		File: func(string) ([]byte, error) { return []byte(key), nil },
	}}
	if _, faults := g.compiler.Compile(g.base, nil, nil); len(faults) > 0 {
		t.Fatal(faults)
	}
	return g
}

func decodedResources(t *testing.T, yaml string) []catalog.Resource {
	t.Helper()
	docs, err := resource.DecodeYAML("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]catalog.Resource, len(docs))
	for i, d := range docs {
		all[i] = d.Resource
	}
	return all
}

// definition is a template with up to three members changed.
func (g *generator) definition() catalog.Resource {
	m, _ := proto.Clone(g.templates[g.random.IntN(len(g.templates))]).(catalog.Resource)
	id := m.GetId()
	for range g.random.IntN(4) {
		g.mutate(m.ProtoReflect())
	}
	catalog.Identify(m, id, nil)
	if p, ok := m.(*pb.Plan); ok {
		p.Api, p.Status = "orders", pb.Plan_PUBLISHED // others are not looked at by nodes
	}
	return m
}

// mutate changes one field, of the message or of one in it.
func (g *generator) mutate(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	fd := fields.Get(g.random.IntN(fields.Len()))
	switch {
	case fd.IsMap(), strings.HasPrefix(string(fd.FullName()), "google.protobuf.Struct"):
	case fd.IsList() && m.Has(fd) && fd.Message() != nil && g.random.IntN(2) == 0:
		list := m.Mutable(fd).List()
		g.mutate(list.Get(g.random.IntN(list.Len())).Message())
	case fd.IsList():
		g.lengthen(m, fd)
	case fd.Message() != nil && m.Has(fd) && g.random.IntN(4) > 0:
		g.mutate(m.Mutable(fd).Message())
	case g.random.IntN(5) == 0:
		m.Clear(fd)
	default:
		m.Set(fd, g.value(m.NewField(fd), fd))
	}
}

func (g *generator) lengthen(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	list := m.Mutable(fd).List()
	if list.Len() > 0 && g.random.IntN(3) == 0 {
		list.Append(list.Get(g.random.IntN(list.Len()))) // the same again
		return
	}
	list.Append(g.value(list.NewElement(), fd))
}

func (g *generator) value(empty protoreflect.Value, fd protoreflect.FieldDescriptor) protoreflect.Value {
	numbers := []int64{0, 1, 2, 64, 1_000_000, 1_000_001, 1 << 31, -1, 1 << 62}
	n := numbers[g.random.IntN(len(numbers))]
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(g.words[g.random.IntN(len(g.words))])
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(g.random.IntN(2) == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(g.random.IntN(fd.Enum().Values().Len() + 1)))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n))
	case protoreflect.MessageKind:
		for range 1 + g.random.IntN(3) {
			g.mutate(empty.Message())
		}
		return empty
	default:
		return empty
	}
}

// propose shows a definition to the control plane.
func (g *generator) propose(m catalog.Resource) ([]*pb.Change, error) {
	d := rules.NewDraft(g.base, time.Now())
	d.Apply(m)
	d.DeployTouched()
	p, err := d.Finish()
	if err != nil {
		return nil, err
	}
	return p.Changes, nil
}

// invalid reports whether a definition was refused for what it says alone.
func (g *generator) invalid(err error) bool {
	problems, _ := errors.AsType[fault.List](err)
	for _, p := range problems {
		if p.Code == fault.Invalid && !strings.Contains(p.Message, "mask") || p.Code == fault.Dangling && p.Field != "api" {
			return true
		}
	}
	return false
}

// raw is a definition as a change, whatever a control plane would say of it.
func raw(t *testing.T, m catalog.Resource) []*pb.Change {
	t.Helper()
	kind, id := catalog.KindOf(m), m.GetId()
	m, _ = proto.Clone(m).(catalog.Resource)
	catalog.Identify(m, "", nil)
	if api, ok := m.(*pb.Api); ok {
		kind, m = pb.Kind_KIND_DEPLOYMENT, &pb.Deployment{Revision: 1, Api: api}
	}
	encoded, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return []*pb.Change{{Kind: kind, Id: id, Version: 99, Resource: encoded}}
}

// compile puts changes in force on a node, asks it, and takes them back.
func (g *generator) compile(t *testing.T, changes []*pb.Change) []Fault {
	t.Helper()
	s, err := g.base.WithChanges(changes)
	if err != nil {
		t.Fatal(err)
	}
	touched := []Touch{}
	for _, c := range changes {
		touched = append(touched, Touch{catalog.Ref{Kind: c.GetKind(), ID: c.GetId()}, 1})
	}
	view, _ := g.compiler.Compile(s, touched, nil)
	faults := g.compiler.Faults()
	for _, r := range s.Rejects() {
		faults = append(faults, Fault{r.Ref, r.Sequence, r.Reason})
	}
	if view == nil {
		t.Fatal("no view")
	}
	unavailable := errors.Is(answer(t, view, "/orders/1"), denial.NotInForce)
	if unavailable && len(faults) == 0 {
		t.Errorf("orders is unavailable, and nobody says why: %v", changes)
	}
	if got := answerAt(t, view, "elsewhere.test", "/other/1"); got != nil && len(g.compiler.conflicts) == 0 {
		t.Errorf("another Api answers %v: %v", got, changes)
	}
	if _, left := g.compiler.Compile(g.base, touched, nil); len(left) > 0 {
		t.Fatal(left)
	}
	return faults
}

func testSigner(t *testing.T, key string) *assertion.Signer {
	t.Helper()
	s, err := assertion.Parse([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
