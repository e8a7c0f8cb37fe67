package rules

import (
	"slices"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// kind is the rules of one kind of resources; a nil member: it has none of the sort.
type kind struct {
	// prepare carries over what is not the caller's to set, and moves lifecycles.
	// old is nil if there was none.
	prepare func(d *Draft, ref catalog.Ref, r, old catalog.Resource, m mode)
	// together checks references and uniqueness among all proposals.
	together func(t *together, ref catalog.Ref, r catalog.Resource)
	// verbs are those of its lifecycle, in the order in which they are used.
	verbs []string
	// step carries one of the verbs out; r is a copy of the resource.
	step func(d *Draft, ref catalog.Ref, r catalog.Resource, verb string, revision uint64)
	// dependents are the resources that refer to one (users), and those that are
	// nothing without it and are removed with it (own).
	dependents func(d *Draft, id string) (users, own []catalog.Ref)
	// restrictive reports whether a put takes rights away.
	restrictive func(r catalog.Resource, old catalog.Record) bool
}

// kinds has an entry for each kind, also for those that have no rules here.
//
//nolint:gochecknoglobals // a constant table
var kinds = [...]kind{
	pb.Kind_KIND_ISSUER: {
		together:   checking((*together).issuer),
		dependents: (*Draft).issuerUsers,
	},
	pb.Kind_KIND_API: {
		prepare:    preparing((*Draft).prepareAPI),
		together:   checking((*together).api),
		verbs:      append([]string{"deploy", "start", "stop", "rollback"}, verbsOf(portalMoves())...),
		step:       stepping((*Draft).stepAPI),
		dependents: (*Draft).apiUsers,
	},
	pb.Kind_KIND_PLAN: {
		prepare:  preparing((*Draft).preparePlan),
		together: checking((*together).plan),
		verbs:    verbsOf(planMoves()),
		step:     stepping((*Draft).stepPlan),
		dependents: func(d *Draft, id string) (users, own []catalog.Ref) {
			return d.subscriptionsTo(pb.Kind_KIND_PLAN, id), nil
		},
		restrictive: restricting(func(p *pb.Plan, _ catalog.Record) bool { return !Serving(p.GetStatus()) }),
	},
	pb.Kind_KIND_APPLICATION: {
		together: checking((*together).application),
		dependents: func(d *Draft, id string) (users, own []catalog.Ref) {
			return d.subscriptionsTo(pb.Kind_KIND_APPLICATION, id), nil
		},
		restrictive: restricting(losesCredentials),
	},
	pb.Kind_KIND_SUBSCRIPTION: {
		prepare:     preparing((*Draft).prepareSubscription),
		together:    checking((*together).subscription),
		verbs:       verbsOf(subscriptionMoves()),
		step:        stepping((*Draft).stepSubscription),
		restrictive: restricting(func(s *pb.Subscription, _ catalog.Record) bool { return s.GetStatus() != pb.Subscription_ACCEPTED }),
	},
	pb.Kind_KIND_REVOCATION: {
		prepare:  preparing((*Draft).prepareRevocation),
		together: checking((*together).revocation),
	},
	pb.Kind_KIND_KEY_SET: {},
	pb.Kind_KIND_DEPLOYMENT: {
		together:    checking((*together).deployment),
		restrictive: restricting(func(d *pb.Deployment, _ catalog.Record) bool { return d.GetStopped() }),
	},
	pb.Kind_KIND_MEMBER: {},
}

// kindOf is a kind's entry; empty for an unknown kind.
func kindOf(k pb.Kind) kind {
	if k < 0 || int(k) >= len(kinds) {
		return kind{}
	}
	return kinds[k]
}

// Verbs are the lifecycle steps of a kind, in the order in which they are used.
func Verbs(k pb.Kind) []string { return slices.Clone(kindOf(k).verbs) }

// The following make members of the table out of functions that take a kind's own message.

func preparing[M catalog.Resource](f func(d *Draft, ref catalog.Ref, r, old M, m mode)) func(*Draft, catalog.Ref, catalog.Resource, catalog.Resource, mode) {
	return func(d *Draft, ref catalog.Ref, r, old catalog.Resource, m mode) {
		if r, ok := r.(M); ok {
			before, _ := old.(M)
			f(d, ref, r, before, m)
		}
	}
}

func checking[M catalog.Resource](f func(t *together, ref catalog.Ref, r M)) func(*together, catalog.Ref, catalog.Resource) {
	return func(t *together, ref catalog.Ref, r catalog.Resource) {
		if r, ok := r.(M); ok {
			f(t, ref, r)
		}
	}
}

func stepping[M catalog.Resource](f func(d *Draft, ref catalog.Ref, r M, verb string, revision uint64)) func(*Draft, catalog.Ref, catalog.Resource, string, uint64) {
	return func(d *Draft, ref catalog.Ref, r catalog.Resource, verb string, revision uint64) {
		if r, ok := r.(M); ok {
			f(d, ref, r, verb, revision)
		}
	}
}

func restricting[M catalog.Resource](f func(r M, old catalog.Record) bool) func(catalog.Resource, catalog.Record) bool {
	return func(r catalog.Resource, old catalog.Record) bool {
		m, ok := r.(M)
		return ok && f(m, old)
	}
}
