package catalog

import (
	"errors"
	"fmt"
	"slices"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// indexing is how the indexes follow the resources of a kind.
type indexing struct {
	// understand decodes as much of a resource as the indexes need, and checks what
	// a node could not live with.
	understand func(change) (content, error)
	// relate makes the indexes say what a resource is, and no longer what it was.
	// The contents say which of both there is; c is of the latter, if it is there.
	relate func(ed *editor, c change, was place, before content, is place, after content)
	// moved makes the indexes follow a change to another place; nil: they hold no places of it.
	moved func(ed *editor, c change, was, to place)
}

// content is what the indexes need of a resource, if it is there; only the member
// of its kind is set.
type content struct {
	there        bool
	subscription subscription
	application  application
	resource     Resource
}

// indexes has an entry for each kind. Of the two kinds of which there are many, only
// what the indexes need is decoded; what is kept of the others is copied out of the
// store.
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
}

// unindexed is for kinds that are found by their ids alone.
func unindexed() indexing {
	return indexing{understand: understandMessage, relate: func(*editor, change, place, content, place, content) {}}
}

// byMessage is for kinds of which there are few: their messages are decoded. checks
// are what a message must fulfil.
func byMessage[M Resource](add func(ed *editor, m M, c change), remove func(ed *editor, m M), checks ...func(M) error) indexing {
	return indexing{
		understand: func(c change) (content, error) {
			of, err := understandMessage(c)
			if err != nil {
				return of, err
			}
			for _, check := range checks {
				if err := check(of.resource.(M)); err != nil { //nolint:errcheck // the message of the kind
					return content{}, fmt.Errorf("%s %w", c.ref(), err)
				}
			}
			return of, nil
		},
		relate: func(ed *editor, c change, _ place, before content, _ place, after content) {
			if before.there {
				remove(ed, before.resource.(M)) //nolint:errcheck // the message of the kind
			}
			if after.there {
				add(ed, after.resource.(M), c) //nolint:errcheck // the message of the kind
			}
		},
	}
}

func understandMessage(c change) (content, error) {
	m, err := decodeResource(c)
	return content{there: err == nil, resource: m}, err
}

func understandSubscription(c change) (content, error) {
	s, err := decodeSubscription(c.resource)
	return content{there: true, subscription: s}, err
}

func understandApplication(c change) (content, error) {
	a, err := decodeApplication(c.resource)
	return content{there: true, application: a}, err
}

func addDraft(ed *editor, m *pb.Api, _ change) {
	for _, at := range HostPaths(m) {
		addTo(&ed.drafted, at, m.GetId())
	}
}

func removeDraft(ed *editor, m *pb.Api) {
	for _, at := range HostPaths(m) {
		removeFrom(&ed.drafted, at, m.GetId())
	}
}

func addPlan(ed *editor, m *pb.Plan, _ change) {
	ed.acquire(framePlan, m.GetId())
	addTo(&ed.plansOf, m.GetApi(), m.GetId())
}

func removePlan(ed *editor, m *pb.Plan) {
	ed.release(framePlan, m.GetId())
	removeFrom(&ed.plansOf, m.GetApi(), m.GetId())
}

func hasAPI(m *pb.Deployment) error {
	if m.GetApi() == nil {
		return errors.New("holds no Api")
	}
	return nil
}

func addDeployment(ed *editor, m *pb.Deployment, _ change) {
	for _, at := range HostPaths(m.GetApi()) {
		addTo(&ed.deployed, at, m.GetId())
	}
}

func removeDeployment(ed *editor, m *pb.Deployment) {
	for _, at := range HostPaths(m.GetApi()) {
		removeFrom(&ed.deployed, at, m.GetId())
	}
}

func addRevocation(ed *editor, m *pb.Revocation, c change) { ed.revocations.add(m, c.createdAt) }

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
