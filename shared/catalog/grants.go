package catalog

import (
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
)

// Open reports whether a subscription of this status may entitle its application,
// now or later.
func Open(s pb.Subscription_Status) bool {
	return s == pb.Subscription_PENDING || s == pb.Subscription_ACCEPTED || s == pb.Subscription_PAUSED
}

func understandSubscription(c wire.Change) (version, error) {
	s, err := wire.ReadSubscription(c.Resource)
	return version{present: true, change: c, subscription: s}, err
}

// relateSubscription keeps the grants. The location in a grant shows whether it is
// that of this subscription, or of another one of the same application and plan.
func relateSubscription(ed *editor, before, after version) {
	if before.present && after.present && sameNames(&before.subscription, &after.subscription) {
		ed.regrant(before, after) // most changes are of the status alone
		return
	}
	// In this order, so that a name which stays keeps its handle.
	if after.present {
		ed.acquire(tagApplicationName, after.subscription.Application)
		ed.acquire(tagPlanName, after.subscription.Plan)
		ed.grant(ed.pair(&after.subscription), after)
	}
	if before.present {
		ed.ungrant(ed.pair(&before.subscription), before.at)
		ed.release(tagApplicationName, before.subscription.Application)
		ed.release(tagPlanName, before.subscription.Plan)
	}
}

func sameNames(a, b *wire.Subscription) bool {
	return a.Application == b.Application && a.Plan == b.Plan
}

// regrant follows a subscription whose application and plan stay.
func (ed *editor) regrant(before, after version) {
	key := ed.pair(&after.subscription)
	if Open(after.subscription.Status) {
		ed.grant(key, after)
	} else {
		ed.ungrant(key, before.at)
	}
}

// pair is the key of a subscription whose names have handles.
func (ed *editor) pair(s *wire.Subscription) uint64 {
	return grantKey(ed.handle(tagApplicationName, s.Application), ed.handle(tagPlanName, s.Plan))
}

func (ed *editor) grant(key uint64, v version) {
	if !Open(v.subscription.Status) {
		return
	}
	g, _ := ed.grants.Put(ed.seeds.mix(key), func(g *grantEntry) bool { return g.key == key },
		func(g *grantEntry) uint64 { return ed.seeds.mix(g.key) })
	*g = grantEntry{key, grantWord(v.at, &v.subscription)}
}

func (ed *editor) ungrant(key uint64, at location) {
	ed.grants.Delete(ed.seeds.mix(key), func(g *grantEntry) bool { return g.key == key && g.at() == at })
}

// moveSubscription follows a subscription's change to another location.
func moveSubscription(ed *editor, c wire.Change, before, now location) {
	s := mustSubscription(c)
	if !Open(s.Status) {
		return
	}
	key := ed.pair(&s)
	hash, is := ed.seeds.mix(key), func(g *grantEntry) bool { return g.key == key && g.at() == before }
	if ed.grants.Find(hash, is) == nil {
		return // another subscription's
	}
	g, _ := ed.grants.Put(hash, is, nil)
	g.word = grantWord(now, &s)
}
