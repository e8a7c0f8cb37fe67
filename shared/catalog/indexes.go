package catalog

import (
	"errors"
	"fmt"
	"slices"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// version is what a resource is at some moment, as far as the indexes need it. The
// zero version: it does not exist.
type version struct {
	present bool
	at      location // of its change
	change  wire.Change
	// Only the member of its kind is set.
	subscription wire.Subscription
	application  wire.Application
	message      Resource
}

// indexing is how the indexes follow the resources of a kind.
type indexing struct {
	// understand decodes as much of a resource as the indexes need, and checks what
	// a node could not live with.
	understand func(wire.Change) (version, error)
	// relate makes the indexes say what a resource is, and no longer what it was.
	relate func(ed *editor, before, after version)
	// moved makes the indexes follow a change to another location; nil: they hold
	// no locations of the kind.
	moved func(ed *editor, c wire.Change, before, now location)
}

// indexes has an entry for each kind. Of the two kinds of which there are many, only
// what the indexes need is decoded; the others' messages are, and what is kept of
// them is outside the heap.
//
//nolint:gochecknoglobals // a constant table
var indexes = [...]indexing{
	pb.Kind_KIND_ISSUER:       unindexed(),
	pb.Kind_KIND_API:          byMessage(addDraft, removeDraft),
	pb.Kind_KIND_PLAN:         byMessage(addPlan, removePlan),
	pb.Kind_KIND_APPLICATION:  {understandApplication, relateApplication, moveApplication},
	pb.Kind_KIND_SUBSCRIPTION: {understandSubscription, relateSubscription, moveSubscription},
	pb.Kind_KIND_REVOCATION:   byMessage(addRevocation, removeRevocation),
	pb.Kind_KIND_KEY_SET:      unindexed(),
	pb.Kind_KIND_DEPLOYMENT:   byMessage(addDeployment, removeDeployment, hasAPI),
	pb.Kind_KIND_MEMBER:       unindexed(),
}

// unindexed is for kinds that are found by their ids alone.
func unindexed() indexing {
	return indexing{understand: understandMessage, relate: func(*editor, version, version) {}}
}

// byMessage is for kinds of which there are few: their messages are decoded. checks
// are what a message must fulfil.
func byMessage[M Resource](add func(ed *editor, m M, c wire.Change), remove func(ed *editor, m M), checks ...func(M) error) indexing {
	return indexing{
		understand: func(c wire.Change) (version, error) {
			v, err := understandMessage(c)
			if err != nil {
				return v, err
			}
			for _, check := range checks {
				if err := check(v.message.(M)); err != nil { //nolint:errcheck // the message of the kind
					return version{}, fmt.Errorf("%s %w", refOf(c), err)
				}
			}
			return v, nil
		},
		relate: func(ed *editor, before, after version) {
			if before.present {
				remove(ed, before.message.(M)) //nolint:errcheck // the message of the kind
			}
			if after.present {
				add(ed, after.message.(M), after.change) //nolint:errcheck // the message of the kind
			}
		},
	}
}

func understandMessage(c wire.Change) (version, error) {
	m, err := decodeResource(c)
	return version{present: err == nil, change: c, message: m}, err
}

func addDraft(ed *editor, m *pb.Api, _ wire.Change) {
	for _, at := range HostPaths(m) {
		addTo(&ed.drafted, at, m.GetId())
	}
}

func removeDraft(ed *editor, m *pb.Api) {
	for _, at := range HostPaths(m) {
		removeFrom(&ed.drafted, at, m.GetId())
	}
}

func addPlan(ed *editor, m *pb.Plan, _ wire.Change) {
	ed.acquire(tagPlanName, m.GetId())
	addTo(&ed.plansOf, m.GetApi(), m.GetId())
}

func removePlan(ed *editor, m *pb.Plan) {
	ed.release(tagPlanName, m.GetId())
	removeFrom(&ed.plansOf, m.GetApi(), m.GetId())
}

func hasAPI(m *pb.Deployment) error {
	if m.GetApi() == nil {
		return errors.New("holds no Api")
	}
	return nil
}

func addDeployment(ed *editor, m *pb.Deployment, _ wire.Change) {
	for _, at := range HostPaths(m.GetApi()) {
		addTo(&ed.deployed, at, m.GetId())
	}
}

func removeDeployment(ed *editor, m *pb.Deployment) {
	for _, at := range HostPaths(m.GetApi()) {
		removeFrom(&ed.deployed, at, m.GetId())
	}
}

func addRevocation(ed *editor, m *pb.Revocation, c wire.Change) { ed.revocations.add(m, c.CreatedAt) }

func removeRevocation(ed *editor, m *pb.Revocation) { ed.revocations.remove(m) }

// addTo and removeFrom keep small lists of ids; the slices in the map are never written in place.
func addTo[K comparable](m *cow.Edit[K, []string], key K, id string) {
	ids, _ := m.Get(key)
	if !slices.Contains(ids, id) {
		m.Set(key, append(slices.Clone(ids), id))
	}
}

func removeFrom[K comparable](m *cow.Edit[K, []string], key K, id string) {
	ids, _ := m.Get(key)
	i := slices.Index(ids, id)
	switch {
	case i < 0:
	case len(ids) == 1:
		m.Delete(key)
	default:
		m.Set(key, slices.Delete(slices.Clone(ids), i, i+1))
	}
}
