package rules

import (
	"fmt"
	"maps"
	"slices"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// checkTogether checks references and uniqueness in the picture that all
// proposals make together, so that their order does not matter.
func (d *Draft) checkTogether() {
	t := together{
		Draft: d, clients: map[client]string{}, keys: map[[32]byte]string{}, certs: map[[32]byte]string{},
		pairs: map[[2]string]string{}, drafted: map[catalog.HostPath]string{}, deployed: map[catalog.HostPath]string{},
	}
	for _, ref := range d.order {
		r := d.puts[ref]
		if check := kindOf(ref.Kind).together; check != nil && r != nil {
			check(&t, ref, r)
		}
	}
}

// client is how an issuer knows an application.
type client struct{ issuer, id string }

// together remembers who holds what among the proposals.
type together struct {
	*Draft
	clients           map[client]string
	keys, certs       map[[32]byte]string
	pairs             map[[2]string]string
	drafted, deployed map[catalog.HostPath]string
	issuers           map[string]string // iss → id; made when first needed
}

func (t *together) refers(from catalog.Ref, field string, to catalog.Ref) bool {
	if t.exists(to) || t.faulty[to] { // what is wrong with a resource is reported once, there
		return true
	}
	t.problem(from, field, fault.Dangling, fmt.Sprintf("no %s %q", catalog.KindSlug(to.Kind), to.ID), t.nearestHint(to))
	return false
}

func (t *together) api(ref catalog.Ref, n *pb.Api) {
	t.hostPaths(ref, n, t.drafted, t.base.DraftedAt)
}

func (t *together) deployment(ref catalog.Ref, n *pb.Deployment) {
	t.hostPaths(ref, n.GetApi(), t.deployed, t.base.DeployedAt)
}

func (t *together) revocation(ref catalog.Ref, n *pb.Revocation) {
	if n.GetIssuer() != "" {
		t.refers(ref, "issuer", catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: n.GetIssuer()})
	}
}

func (t *together) issuer(ref catalog.Ref, n *pb.Issuer) {
	t.keepsIntrospection(ref, n)
	if n.GetNoIssuer() {
		t.unnamed(ref, n)
		return
	}
	if t.issuers == nil {
		t.issuers = map[string]string{}
		for r := range t.base.All(pb.Kind_KIND_ISSUER) {
			if t.puts[r.Ref()] == nil && t.exists(r.Ref()) {
				if m, ok := get[*pb.Issuer](t.Draft, r.Ref().Kind, r.Ref().ID); ok {
					t.issuers[m.GetIssuer()] = r.Ref().ID
				}
			}
		}
	}
	if other, taken := t.issuers[n.GetIssuer()]; taken {
		t.problem(ref, "issuer", fault.Conflict, fmt.Sprintf("%q is the iss of issuer %q already", n.GetIssuer(), other),
			"one Issuer holds all keys and settings of an iss")
	}
	t.issuers[n.GetIssuer()] = ref.ID
}

// maxUnnamed bounds the issuers without iss: a token that has none is tried with the
// keys of each.
const maxUnnamed = 8

// unnamed checks that the issuers whose tokens have no iss can be told apart, which
// only their keys do.
func (t *together) unnamed(ref catalog.Ref, n *pb.Issuer) {
	keys := ownKeys(n)
	count := 1
	for _, other := range t.othersUnnamed(ref) {
		if count++; count > maxUnnamed {
			t.problem(ref, "no_issuer", fault.Invalid, fmt.Sprintf("more than %d issuers have tokens without iss", maxUnnamed),
				"each of them is tried with such a token")
			return
		}
		for i, url := range n.GetKeys().GetJwksUrls() {
			if slices.Contains(other.GetKeys().GetJwksUrls(), url) {
				t.problem(ref, fmt.Sprintf("keys.jwks_urls[%d]", i), fault.Conflict, fmt.Sprintf("issuer %q has the same URL", other.GetId()),
					"of tokens without iss only the key says whose they are")
				return
			}
		}
		if key := keys.Shares(ownKeys(other)); key != nil {
			t.problem(ref, key.Origin, fault.Conflict, fmt.Sprintf("issuer %q has the same key", other.GetId()),
				"of tokens without iss only the key says whose they are")
			return
		}
	}
}

// othersUnnamed are the other issuers without iss, in the picture that the draft makes.
func (t *together) othersUnnamed(self catalog.Ref) []*pb.Issuer {
	ids := map[string]bool{}
	for r := range t.base.All(self.Kind) {
		ids[r.Ref().ID] = true
	}
	for ref := range t.puts {
		if ref.Kind == self.Kind {
			ids[ref.ID] = true
		}
	}
	delete(ids, self.ID)
	var others []*pb.Issuer
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if m, ok := get[*pb.Issuer](t.Draft, self.Kind, id); ok && m.GetNoIssuer() {
			others = append(others, m)
		}
	}
	return others
}

// ownKeys are the keys that an issuer's definition holds itself; those it names are
// known to nodes only, which refuse a token whose key two of them have.
func ownKeys(m *pb.Issuer) *keyset.Set {
	compiled, faults := compile.NewIssuer(m, nil, keyset.Secrets{})
	if len(faults) > 0 {
		return keyset.NewSet(nil) // reported there
	}
	return compiled.Keys
}

// keepsIntrospection checks that no OAUTH2 plan is left without a server to ask.
func (t *together) keepsIntrospection(ref catalog.Ref, n *pb.Issuer) {
	old, ok := catalog.Lookup[*pb.Issuer](t.base, ref.Kind, ref.ID)
	if !ok || old.GetIntrospection() == nil || n.GetIntrospection() != nil {
		return
	}
	for r := range t.base.All(pb.Kind_KIND_PLAN) {
		p, ok := get[*pb.Plan](t.Draft, pb.Kind_KIND_PLAN, r.Ref().ID)
		if ok && slices.Contains(p.GetOauth2().GetIssuers(), ref.ID) {
			t.problem(ref, "introspection", fault.InUse, "is used by "+r.Ref().String(), "take the issuer out of that plan first")
			return
		}
	}
}

// hostPaths checks that no two Apis take the same host and context path, as drafts
// or as deployed. Either is a problem of the Api, reported once.
func (t *together) hostPaths(ref catalog.Ref, api *pb.Api, proposed map[catalog.HostPath]string, held func(catalog.HostPath) []string) {
	for _, at := range catalog.HostPaths(api) {
		other, taken := proposed[at]
		if id, ok := t.holder(ref, held(at)); ok {
			other, taken = id, true
		}
		if taken && other != ref.ID {
			host := "every host"
			if at.Host != "" {
				host = "host " + at.Host
			}
			p := fault.Fault{
				Kind: "Api", ID: ref.ID, Field: "context_path", Code: fault.Conflict,
				Message: fmt.Sprintf("%s on %s is taken by api %q", at.Path, host, other),
				Hint:    "choose another context_path or host",
			}
			if !slices.Contains(t.problems, p) {
				t.problems = append(t.problems, p)
			}
		}
		proposed[at] = ref.ID
	}
}

// holder finds another resource among those that hold something, unless the
// draft changes it and so speaks for it.
func (t *together) holder(ref catalog.Ref, ids []string) (string, bool) {
	for _, id := range ids {
		o := catalog.Ref{Kind: ref.Kind, ID: id}
		if id != ref.ID && t.exists(o) && t.puts[o] == nil {
			return id, true
		}
	}
	return "", false
}

func (t *together) plan(ref catalog.Ref, n *pb.Plan) {
	t.refers(ref, "api", catalog.Ref{Kind: pb.Kind_KIND_API, ID: n.GetApi()})
	for i, id := range n.GetJwt().GetIssuers() {
		t.refers(ref, fmt.Sprintf("jwt.issuers[%d]", i), catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: id})
	}
	for i, id := range n.GetOauth2().GetIssuers() {
		t.refers(ref, fmt.Sprintf("oauth2.issuers[%d]", i), catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: id})
	}
}

func (t *together) application(ref catalog.Ref, n *pb.Application) {
	for i, c := range n.GetClients() {
		field := fmt.Sprintf("clients[%d]", i)
		if !t.refers(ref, field+".issuer", catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: c.GetIssuer()}) {
			continue
		}
		key := client{c.GetIssuer(), c.GetClientId()}
		other, taken := t.clients[key]
		if !taken {
			held, found := t.base.Client(key.issuer, key.id)
			other, taken = held.Application, found && t.untouched(held.Application)
		}
		if taken && other != ref.ID {
			t.problem(ref, field+".client_id", fault.Conflict,
				fmt.Sprintf("%q of issuer %q belongs to application %q", key.id, key.issuer, other),
				"a client_id is unique within its issuer")
		}
		t.clients[key] = ref.ID
	}
	for i, k := range n.GetApiKeys() {
		if t.held(ref, k.GetSha256(), t.keys, t.base.APIKey) {
			t.problem(ref, fmt.Sprintf("api_keys[%d].sha256", i), fault.Conflict, "another application has the same key", "make a new key")
		}
	}
	for i, c := range n.GetCertificates() {
		if t.held(ref, c.GetSha256(), t.certs, t.base.Certificate) {
			t.problem(ref, fmt.Sprintf("certificates[%d].sha256", i), fault.Conflict, "another application has the same certificate", "")
		}
	}
}

// held reports whether another application has the credential with this hash.
func (t *together) held(ref catalog.Ref, hash string, proposed map[[32]byte]string, inBase func([32]byte) (catalog.KeyRef, bool)) bool {
	sum, _ := catalog.ParseSHA256(hash)
	other, taken := proposed[sum]
	if !taken {
		held, found := inBase(sum)
		other, taken = held.Application, found && t.untouched(held.Application)
	}
	proposed[sum] = ref.ID
	return taken && other != ref.ID
}

// untouched reports whether an application is as the base has it, so that it
// still holds what the base's indexes say.
func (t *together) untouched(application string) bool {
	ref := catalog.Ref{Kind: pb.Kind_KIND_APPLICATION, ID: application}
	return t.puts[ref] == nil && !t.removed[ref]
}

func (t *together) subscription(ref catalog.Ref, n *pb.Subscription) {
	t.refers(ref, "application", catalog.Ref{Kind: pb.Kind_KIND_APPLICATION, ID: n.GetApplication()})
	if !t.refers(ref, "plan", catalog.Ref{Kind: pb.Kind_KIND_PLAN, ID: n.GetPlan()}) || !catalog.Open(n.GetStatus()) {
		return
	}
	if plan, ok := get[*pb.Plan](t.Draft, pb.Kind_KIND_PLAN, n.GetPlan()); ok {
		switch {
		case plan.GetSecurity() == pb.Plan_KEYLESS:
			t.problem(ref, "plan", fault.Invalid, fmt.Sprintf("plan %q is keyless and has no subscriptions", plan.GetId()), "")
		case plan.GetStatus() == pb.Plan_CLOSED:
			t.problem(ref, "plan", fault.Lifecycle, fmt.Sprintf("plan %q is CLOSED", plan.GetId()), "subscribe to another plan")
		}
	}
	pair := [2]string{n.GetApplication(), n.GetPlan()}
	other, taken := t.pairs[pair]
	if !taken {
		other, taken = t.openSubscription(ref, pair)
	}
	if taken && other != ref.ID {
		t.problem(ref, "", fault.Conflict, fmt.Sprintf("application %q has the open subscription %q to plan %q already", pair[0], other, pair[1]),
			"close that one first")
	}
	t.pairs[pair] = ref.ID
}

// openSubscription finds another open subscription of the same application to the same plan.
func (t *together) openSubscription(self catalog.Ref, pair [2]string) (string, bool) {
	id, ok := t.base.OpenSubscription(pair[0], pair[1])
	other := catalog.Ref{Kind: self.Kind, ID: id}
	if !ok || other == self || t.puts[other] != nil || !t.exists(other) {
		return "", false
	}
	return other.ID, true
}
