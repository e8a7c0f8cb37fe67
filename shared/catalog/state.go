package catalog

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

const kindCount = 9 // the zero kind included

// Position is a place in a log.
type Position struct {
	Epoch    uint64
	Founding string
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
	position Position
	setHash  uint64
	tables   [kindCount]cow.Map[string, string] // id → the Change's bytes
	rejects  cow.Map[Ref, reject]

	// Indexes for requests.
	clients      cow.Map[clientKey, ClientRef]
	apiKeys      cow.Map[[32]byte, KeyRef]
	certificates cow.Map[[32]byte, KeyRef]
	grants       cow.Map[uint64, Grant] // by grantKey
	revocations  *Revocations

	// Indexes for the rules.
	applications, plans cow.Map[string, name]       // existing or referred to, by id
	lastHandle          Handle                      // handles are never given twice
	plansOf             cow.Map[string, []string]   // Api → its plans
	drafted             cow.Map[hostPath, []string] // where Apis want to be → their ids
	deployed            cow.Map[hostPath, []string] // where they are
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

// Empty is the state of a log without entries.
func Empty() *State {
	s := &State{
		rejects:      cow.New[Ref, reject](),
		clients:      cow.New[clientKey, ClientRef](),
		apiKeys:      cow.New[[32]byte, KeyRef](),
		certificates: cow.New[[32]byte, KeyRef](),
		grants:       cow.New[uint64, Grant](),
		revocations:  newRevocations(),
		applications: cow.New[string, name](),
		plans:        cow.New[string, name](),
		plansOf:      cow.New[string, []string](),
		drafted:      cow.New[hostPath, []string](),
		deployed:     cow.New[hostPath, []string](),
	}
	for i := range s.tables {
		s.tables[i] = cow.New[string, string]()
	}
	return s
}

// At is the same state at another position: for a log that was just founded or joined.
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
	raw, ok := s.tables[kind].Get(id)
	if !ok {
		return Record{}, false
	}
	return Record{mustChange(raw)}, true
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
		for _, raw := range s.tables[kind].All() {
			if !yield(Record{mustChange(raw)}) {
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

// Changes yields every change that a snapshot must hold to build this state,
// rejected ones after the good values they could not replace.
func (s *State) Changes() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, kind := range Kinds() {
			for _, raw := range s.tables[kind].All() {
				if !yield(raw) {
					return
				}
			}
		}
		for _, r := range s.rejects.All() {
			if !yield(r.raw) {
				return
			}
		}
	}
}

// ChangeCount is the number of changes that Changes yields.
func (s *State) ChangeCount() int {
	n := s.rejects.Len()
	for _, t := range s.tables {
		n += t.Len()
	}
	return n
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

// Effects tell what an entry did.
type Effects struct {
	// Touched are the resources that were changed or removed.
	Touched []Ref
	Rejects []Reject
	// Awaited: somebody waits for the fleet to have applied the entry.
	Awaited bool
}

// Apply folds one entry of the log. It fails if the entry's envelope cannot be
// decoded or does not follow the state (ErrPosition); a single resource that
// cannot be understood is reported in Effects and stops nothing.
func (s *State) Apply(sequence uint64, raw []byte) (*State, Effects, error) {
	e, err := decodeEntry(string(raw))
	if err != nil {
		return nil, Effects{}, fmt.Errorf("sequence %d: %w", sequence, err)
	}
	p := s.position
	if sequence != p.Sequence+1 || e.epoch != p.Epoch || e.founding != p.Founding {
		return nil, Effects{}, fmt.Errorf("%w: sequence %d of epoch %d (%s), state is at %s (%s)",
			ErrPosition, sequence, e.epoch, e.founding, p, p.Founding)
	}
	p.Sequence = sequence
	ed := s.edit(p)
	for _, raw := range e.changes {
		// Cloned, so that a resource does not keep the entry's other changes in memory.
		ed.fold(strings.Clone(raw))
	}
	ed.effects.Awaited = e.awaited
	return ed.state(), ed.effects, nil
}

// hashOf is a change's share of the set hash.
func hashOf(raw string) uint64 { return xxhash.Sum64String(raw) }

func known(kind pb.Kind) bool { return kind > 0 && kind < kindCount }

// mustChange decodes bytes that the fold has decoded before.
func mustChange(raw string) change {
	c, err := decodeChange(raw)
	if err != nil {
		panic("BUG: a state holds an undecodable change: " + err.Error())
	}
	return c
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// SnapshotHeader describes the state for a snapshot made of Changes. writer
// says who writes it, for people to read.
func (s *State) SnapshotHeader(at time.Time, writer string) *pb.SnapshotHeader {
	return &pb.SnapshotHeader{
		Epoch: s.position.Epoch, Founding: s.position.Founding, Sequence: s.position.Sequence,
		Changes: uint64(s.ChangeCount()), Counts: s.Counts(), SetHash: s.setHash,
		WrittenAt: at.UnixMilli(), Writer: writer,
	}
}
