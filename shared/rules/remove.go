package rules

import (
	"fmt"
	"slices"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Remove proposes that a resource ends. What refers to it stands in the way,
// unless cascade takes it along; an issuer that plans or applications name is
// never taken from under them.
func (d *Draft) Remove(ref catalog.Ref, cascade bool) {
	if !d.exists(ref) {
		d.problem(ref, "", fault.NotFound, fmt.Sprintf("no %s %q", strings.ToLower(catalog.KindName(ref.Kind)), ref.ID), "")
		return
	}
	var users, own []catalog.Ref
	if dependents := kindOf(ref.Kind).dependents; dependents != nil {
		users, own = dependents(d, ref.ID)
	}
	switch {
	case len(users) > 0 && (!cascade || ref.Kind == pb.Kind_KIND_ISSUER):
		hint := "remove them first, or pass cascade=true"
		if ref.Kind == pb.Kind_KIND_ISSUER {
			hint = "take the issuer out of them first"
		}
		d.problem(ref, "", fault.InUse, "is used by "+listed(users), hint)
		return
	case len(users)+len(own) > MaxDependents:
		d.problem(ref, "", fault.InUse, fmt.Sprintf("has %d dependents, more than %d", len(users)+len(own), MaxDependents),
			"remove them first, in several steps")
		return
	}
	for _, u := range append(users, own...) {
		d.unset(u)
	}
	d.unset(ref)
}

// apiUsers are an Api's plans and their subscriptions; its deployment is its own.
func (d *Draft) apiUsers(id string) (users, own []catalog.Ref) {
	plans := d.plansOf(id)
	users = append(refs(pb.Kind_KIND_PLAN, plans), d.subscriptionsTo(pb.Kind_KIND_PLAN, plans...)...)
	if dep := (catalog.Ref{Kind: pb.Kind_KIND_DEPLOYMENT, ID: id}); d.exists(dep) {
		own = append(own, dep)
	}
	return users, own
}

// subscriptionsTo are the subscriptions of applications or of plans.
func (d *Draft) subscriptionsTo(owner pb.Kind, ids ...string) []catalog.Ref {
	return refs(pb.Kind_KIND_SUBSCRIPTION, d.subscriptionsOf(owner, ids...))
}

// issuerUsers leaves revocations out: they stay, so that an issuer which is made
// again does not find its revoked tokens alive.
func (d *Draft) issuerUsers(id string) (users, own []catalog.Ref) {
	for r := range d.base.All(pb.Kind_KIND_PLAN) {
		if p, ok := get[*pb.Plan](d, pb.Kind_KIND_PLAN, r.Ref().ID); ok &&
			(slices.Contains(p.GetJwt().GetIssuers(), id) || slices.Contains(p.GetOauth2().GetIssuers(), id)) {
			users = append(users, r.Ref())
		}
	}
	for r := range d.base.All(pb.Kind_KIND_APPLICATION) {
		a, ok := get[*pb.Application](d, pb.Kind_KIND_APPLICATION, r.Ref().ID)
		if ok && slices.ContainsFunc(a.GetClients(), func(c *pb.Client) bool { return c.GetIssuer() == id }) {
			users = append(users, r.Ref())
		}
	}
	if keys := (catalog.Ref{Kind: pb.Kind_KIND_KEY_SET, ID: id}); d.exists(keys) {
		own = append(own, keys)
	}
	return users, own
}

func refs(kind pb.Kind, ids []string) []catalog.Ref {
	all := make([]catalog.Ref, len(ids))
	for i, id := range ids {
		all[i] = catalog.Ref{Kind: kind, ID: id}
	}
	return all
}

// listed names a few and counts the rest.
func listed(refs []catalog.Ref) string {
	const shown = 5
	var names []string
	for _, r := range refs[:min(len(refs), shown)] {
		names = append(names, r.String())
	}
	text := strings.Join(names, ", ")
	if len(refs) > shown {
		text += fmt.Sprintf(" and %d more", len(refs)-shown)
	}
	return text
}
