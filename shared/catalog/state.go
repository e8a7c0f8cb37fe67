package catalog

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cespare/xxhash/v2"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/heap"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// Position is a point in a log.
type Position struct {
	Epoch    uint64
	EpochID  string
	Sequence uint64
}

// String is "epoch 1, sequence 812".
func (p Position) String() string {
	return fmt.Sprintf("epoch %d, sequence %d", p.Epoch, p.Sequence)
}

// ErrPosition says that an entry does not follow the state it was applied to.
var ErrPosition = errors.New("entry does not follow the state")

// State is everything that exists at one position of the log. It is immutable
// and safe for concurrent use.
type State struct {
	heap     heap.Heap
	seeds    seeds
	position Position
	setHash  uint64
	tables   [kindCount]cow.Table[location] // of Changes, by id
	rejects  cow.Map[Ref, reject]

	// Indexes for requests.
	clients      cow.Table[clientEntry]
	apiKeys      cow.Table[credentialEntry]
	certificates cow.Table[credentialEntry]
	grants       cow.Table[grantEntry]
	revocations  *Revocations

	// Indexes for the rules.
	applications, plans cow.Table[name]             // existing or referred to, by id
	lastHandle          Handle                      // handles are never given twice
	plansOf             cow.Map[string, []string]   // Api → its plans
	drafted             cow.Map[HostPath, []string] // where Apis want to be → their ids
	deployed            cow.Map[HostPath, []string] // where they are
}

// reject is a change that could not be understood; the table keeps the last good value.
type reject struct {
	raw      string
	sequence uint64
	reason   string
}

// Reject reports a change that could not be understood. The resource keeps its
// last good value, or is dropped if the change was restrictive.
type Reject struct {
	Ref      Ref
	Sequence uint64
	Reason   string
}

func (s *State) store() store { return store{&s.heap} }

// Empty is the state of a log without entries.
func Empty() *State {
	return &State{
		seeds:       newSeeds(),
		rejects:     cow.New[Ref, reject](),
		revocations: newRevocations(),
		plansOf:     cow.New[string, []string](),
		drafted:     cow.New[HostPath, []string](),
		deployed:    cow.New[HostPath, []string](),
	}
}

// EmptyAfter is Empty for a State that will replace last; nil: none. Its handles go
// on counting from last's, because what is counted by handle must not be mistaken.
func EmptyAfter(last *State) *State {
	s := Empty()
	if last != nil {
		s.lastHandle = last.lastHandle
	}
	return s
}

// At is the same state at another position: for a log that was just created or joined.
func (s *State) At(p Position) *State {
	c := *s
	c.position = p
	return &c
}

// Position is where in the log the state is exact.
func (s *State) Position() Position { return s.position }

// SetHash is the sum modulo 2^64 of the XXH64 of every change held: equal on
// all sides at equal positions, whatever the order in which changes arrived.
func (s *State) SetHash() uint64 { return s.setHash }

// Get finds a resource.
func (s *State) Get(kind pb.Kind, id string) (Record, bool) {
	if !known(kind) {
		return Record{}, false
	}
	l := s.tables[kind].Find(s.seeds.id(id), s.store().hasID(id))
	if l == nil {
		return Record{}, false
	}
	return Record{s.store().change(*l)}, true
}

// Lookup finds a resource and decodes it. T is the message of the kind.
func Lookup[T Resource](s *State, kind pb.Kind, id string) (T, bool) {
	var zero T
	r, ok := s.Get(kind, id)
	if !ok {
		return zero, false
	}
	m, err := r.Decode()
	if err != nil { // the fold lets only decodable resources in
		return zero, false
	}
	t, ok := m.(T)
	return t, ok
}

// All yields the resources of a kind in no particular order.
func (s *State) All(kind pb.Kind) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		if !known(kind) {
			return
		}
		for l := range s.tables[kind].All() {
			if !yield(Record{s.store().change(*l)}) {
				return
			}
		}
	}
}

// Len is the number of resources of a kind.
func (s *State) Len(kind pb.Kind) int {
	if !known(kind) {
		return 0
	}
	return s.tables[kind].Len()
}

// ChangeCount is the number of changes that Changes yields.
func (s *State) ChangeCount() int {
	n := s.rejects.Len()
	for i := range s.tables {
		n += s.tables[i].Len()
	}
	return n
}

// Size is about how many bytes of memory the state takes.
func (s *State) Size() int {
	size := s.heap.Size()
	for i := range s.tables {
		size += s.tables[i].Len() * (8 + cow.Overhead)
	}
	size += s.grants.Len() * (16 + cow.Overhead)
	size += (s.applications.Len() + s.plans.Len()) * (16 + cow.Overhead)
	size += s.clients.Len() * (40 + cow.Overhead)
	return size + (s.apiKeys.Len()+s.certificates.Len())*(72+cow.Overhead)
}

// Counts are the numbers of resources by kind name, for people to read.
func (s *State) Counts() map[string]uint64 {
	counts := map[string]uint64{}
	for _, k := range Kinds() {
		if n := s.Len(k); n > 0 {
			counts[KindName(k)] = uint64(n)
		}
	}
	return counts
}

// Rejects are the changes that this version could not understand.
func (s *State) Rejects() []Reject {
	var all []Reject
	for ref, r := range s.rejects.All() {
		all = append(all, Reject{Ref: ref, Sequence: r.sequence, Reason: r.reason})
	}
	return all
}

// PlansOf are the ids of an Api's plans, whatever their status.
func (s *State) PlansOf(api string) []string {
	ids, _ := s.plansOf.Get(api)
	return ids
}

// DraftedAt are the ids of the Apis whose drafts take a host and path.
func (s *State) DraftedAt(at HostPath) []string {
	ids, _ := s.drafted.Get(at)
	return ids
}

// DeployedAt are the ids of the deployments that take a host and path.
func (s *State) DeployedAt(at HostPath) []string {
	ids, _ := s.deployed.Get(at)
	return ids
}

// OpenSubscription finds the open subscription of an application to a plan.
func (s *State) OpenSubscription(application, plan string) (id string, ok bool) {
	g := s.grant(s.Handle(pb.Kind_KIND_APPLICATION, application), s.Handle(pb.Kind_KIND_PLAN, plan))
	if g == nil {
		return "", false
	}
	return s.store().id(g.at()), true
}

// SubscriptionsOf yields the ids of the subscriptions of applications or plans, as
// owner says, in no particular order. It looks through all subscriptions.
func (s *State) SubscriptionsOf(owner pb.Kind, ids ...string) iter.Seq[string] {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	return func(yield func(string) bool) {
		for r := range s.All(pb.Kind_KIND_SUBSCRIPTION) {
			sub := mustSubscription(r.c)
			of := sub.Application
			if owner == pb.Kind_KIND_PLAN {
				of = sub.Plan
			}
			if wanted[of] && !yield(r.c.ID) {
				return
			}
		}
	}
}

// hashOf is a change's share of the set hash.
func hashOf(raw string) uint64 { return xxhash.Sum64String(raw) }
