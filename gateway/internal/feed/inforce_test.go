package feed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

// answer is what a view says to a request without a credential.
func answer(t *testing.T, v *pipeline.View, path string) error {
	t.Helper()
	return answerAt(t, v, "api.test", path)
}

func answerAt(t *testing.T, v *pipeline.View, host, path string) error {
	t.Helper()
	r := &request.Request{Method: []byte("GET"), Host: []byte(host), Path: []byte(path), Header: request.Fields{}, Now: time.Now().Unix()}
	return pipeline.New(authn.New(authn.Config{}), restrict.NewStore(0)).Decide(v, r, &pipeline.Decision{})
}

const twoApis = `
kind: Issuer
id: acme
issuer: https://idp.acme.test
keys: {hmac_secrets: [{env: ACME_SECRET}]}
---
kind: Api
id: orders
context_path: /shop/orders
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
---
kind: Plan
id: gold
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme]}
---
kind: Api
id: shop
context_path: /shop
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
---
kind: Plan
id: open
api: shop
security: KEYLESS
status: PUBLISHED
`

// inForce compiles twoApis and then changes of it, and asks both Apis.
type inForce struct {
	t        *testing.T
	compiler *Compiler
	state    *catalog.State
	view     *pipeline.View
	version  uint64
}

func newInForce(t *testing.T) *inForce {
	t.Helper()
	w := &inForce{t: t, state: catalog.Empty(), compiler: &Compiler{Upstreams: fast.NewPool().Prepare}}
	w.environment("ACME_SECRET")
	w.change(twoApis)
	w.answers(denial.MissingCredentials, nil)
	return w
}

// environment says which variables the node has.
func (w *inForce) environment(names ...string) {
	w.compiler.Secrets = keyset.Secrets{Env: func(name string) (string, bool) {
		return "0123456789abcdef0123456789abcdef", slices.Contains(names, name)
	}}
}

// change takes resources as they are, whatever a control plane would say of them.
func (w *inForce) change(yaml string) []Fault {
	w.t.Helper()
	w.version++
	next := folded(w.t, w.state, w.version, yaml)
	return w.compile(next, differing(w.state, next))
}

func (w *inForce) remove(kind pb.Kind, id string) {
	w.t.Helper()
	next, err := w.state.WithChanges([]*pb.Change{{Kind: kind, Id: id, Version: 99, Removed: true}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.compile(next, []catalog.Ref{{Kind: kind, ID: id}})
}

func (w *inForce) compile(s *catalog.State, refs []catalog.Ref) []Fault {
	w.t.Helper()
	var touched []Touch
	if w.view != nil {
		touched = []Touch{}
		for _, ref := range refs {
			touched = append(touched, Touch{ref, w.version})
		}
	}
	view, fresh := w.compiler.Compile(s, touched, nil)
	if view == nil {
		w.t.Fatal("no view", fresh)
	}
	w.state, w.view = s, view
	return fresh
}

// differing are the resources of next that are others than in s.
func differing(s, next *catalog.State) []catalog.Ref {
	var refs []catalog.Ref
	for _, kind := range catalog.Kinds() {
		for r := range next.All(kind) {
			if old, ok := s.Get(kind, r.Ref().ID); !ok || old.Version() != r.Version() {
				refs = append(refs, catalog.Ref{Kind: kind, ID: strings.Clone(r.Ref().ID)})
			}
		}
	}
	return refs
}

// answers checks what orders and shop say to requests without a credential.
func (w *inForce) answers(orders, shop error) {
	w.t.Helper()
	for path, want := range map[string]error{"/shop/orders/1": orders, "/shop/1": shop} {
		if got := answer(w.t, w.view, path); !errors.Is(got, want) && (got != nil || want != nil) {
			w.t.Errorf("%s answers %v, want %v; faults %v", path, got, want, w.compiler.Faults())
		}
	}
}

func part(i int) string { return strings.Split(twoApis, "---")[i] }

func TestWhatCannotBeCompiledIsNotInForce(t *testing.T) {
	for name, c := range map[string]struct{ yaml, reason string }{
		"a host twice":         {strings.Replace(part(1), "context_path", "hosts: [Api.test, api.test]\ncontext_path", 1), "is written twice"},
		"no upstream":          {strings.Replace(part(1), "http://127", "ftp://127", 1), "upstream.targets[0].url"},
		"an expression":        {strings.Replace(part(2), "[acme]", "[acme], claim_rules: [{expression: 'claims.('}]", 1), "claim_rules[0].expression"},
		"an issuer nobody has": {strings.Replace(part(2), "[acme]", "[acme, nobody]", 1), `no issuer "nobody"`},
		"a mapping of iss":     {part(0) + "claim_mappings: [{remote: x, local: iss}]\n", "iss cannot be mapped"},
		"a key that is none":   {strings.Replace(part(0), "keys: {", "keys: {pem: [junk], ", 1), "keys.pem[0]"},
		"a missing variable":   {strings.Replace(part(0), "ACME_SECRET", "OTHER_SECRET", 1), "OTHER_SECRET is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInForce(t)
			fresh := w.change(c.yaml)
			w.answers(denial.NotInForce, nil) // and no shorter path serves its requests
			found := false
			for _, f := range fresh {
				found = found || f.Ref.ID == "orders" && f.Sequence == w.version && strings.Contains(f.Reason, c.reason)
			}
			if !found {
				t.Errorf("%v does not say %q", fresh, c.reason)
			}
			w.change(twoApis)
			w.answers(denial.MissingCredentials, nil)
			if faults := w.compiler.Faults(); len(faults) > 0 {
				t.Errorf("still there: %v", faults)
			}
		})
	}
}

// A key that cannot be used is told when the issuer is compiled, once, and leaves it in force.
func TestKeysThatAreNotUsed(t *testing.T) {
	w := newInForce(t)
	told := func() string {
		var all []string
		for _, n := range w.compiler.Notes() {
			all = append(all, fmt.Sprintf("%s: %s", n.Ref, n.Reason))
		}
		return strings.Join(all, "\n")
	}
	const good = "{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}"
	with := func(keys string) string {
		return strings.Replace(part(0), "keys: {", "keys: {jwks: {keys: ["+keys+"]}, ", 1)
	}
	w.change(with(good + ", {kty: RSA, use: enc}"))
	if want := `issuer/acme: keys.jwks.keys[1] is not used: its use is "enc", not "sig"`; told() != want {
		t.Errorf("told %q, want %q", told(), want)
	}
	w.answers(denial.MissingCredentials, nil)
	w.change(with(good+", {kty: RSA, use: enc}") + "clock_skew: 5s\n")
	if told() != "" {
		t.Errorf("told again: %q", told())
	}
	w.change(with(good + ", {kty: DSA}"))
	if !strings.Contains(told(), `kty "DSA"`) {
		t.Errorf("told %q", told())
	}
}

// An issuer that cannot be compiled is not trusted by what it was before.
func TestIssuerLeavesNothingBehind(t *testing.T) {
	w := newInForce(t)
	w.change(strings.Replace(part(0), "keys: {", "keys: {pem: [junk], ", 1))
	if _, ok := w.view.Keyring.ByID("acme"); ok {
		t.Error("its old keys are still good")
	}
}

// A plan of the same id as one that was deleted does not bring that one back.
func TestDeletedPlanStaysDeleted(t *testing.T) {
	w := newInForce(t)
	w.remove(pb.Kind_KIND_PLAN, "open")
	w.answers(denial.MissingCredentials, denial.MissingCredentials)
	w.change(strings.Replace(part(4), "KEYLESS", "JWT\njwt: {issuers: [acme], token_from: '('}", 1))
	w.answers(denial.MissingCredentials, denial.NotInForce)
}

// Whatever is wrong with an Api, it can be stopped and removed.
func TestFaultyApiCanBeStoppedAndRemoved(t *testing.T) {
	w := newInForce(t)
	w.change(strings.Replace(part(1), "http://127", "ftp://127", 1))
	dep, _ := catalog.Lookup[*pb.Deployment](w.state, pb.Kind_KIND_DEPLOYMENT, "orders")
	stopped := &pb.Deployment{Revision: 2, Api: dep.GetApi(), Stopped: true}
	next, err := w.state.WithChanges([]*pb.Change{{Kind: pb.Kind_KIND_DEPLOYMENT, Id: "orders", Version: 98, Resource: wireBytes(t, stopped)}})
	if err != nil {
		t.Fatal(err)
	}
	w.compile(next, []catalog.Ref{{Kind: pb.Kind_KIND_DEPLOYMENT, ID: "orders"}})
	w.answers(denial.APINotFound, nil)
	w.remove(pb.Kind_KIND_DEPLOYMENT, "orders")
	w.answers(nil, nil) // of shop
	if faults := w.compiler.Faults(); len(faults) > 0 {
		t.Errorf("still there: %v", faults)
	}
}

// Where two Apis take one place, neither is served there; the others are.
func TestTwoApisInOnePlace(t *testing.T) {
	w := newInForce(t)
	fresh := w.change(strings.Replace(part(1), "id: orders", "id: second", 1))
	w.answers(denial.NotInForce, nil)
	if len(fresh) != 2 {
		t.Errorf("faults %v, want one for each", fresh)
	}
	w.remove(pb.Kind_KIND_DEPLOYMENT, "second")
	w.answers(denial.MissingCredentials, nil)
}

// A variable that is missing after a restart is noticed then.
func TestMissingVariableAtTheStart(t *testing.T) {
	w := newInForce(t)
	w.environment()
	w.view = nil
	w.compile(w.state, nil)
	w.answers(denial.NotInForce, nil)
}
