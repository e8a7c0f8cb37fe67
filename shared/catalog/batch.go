package catalog

import (
	"fmt"

	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
)

// Effects are what an entry did.
type Effects struct {
	// Touched are the resources that were changed or removed.
	Touched []Ref
	Rejects []Reject
	// Awaited: a client waits for the fleet to have applied the entry.
	Awaited bool
}

// Apply folds one entry of the log. It fails if the entry's envelope cannot be
// decoded or does not follow the state (ErrPosition); a single resource that
// cannot be understood is reported in Effects and stops nothing.
func (s *State) Apply(sequence uint64, raw []byte) (*State, Effects, error) {
	b := s.Batch()
	effects, err := b.Apply(sequence, raw)
	if err != nil {
		return nil, Effects{}, err
	}
	return b.State(), effects, nil
}

// Batch begins a State that is several entries later. That costs less than a
// State for each, because what they share is copied once.
func (s *State) Batch() *Batch { return &Batch{s.edit(s.position)} }

// Batch is a State in the making. Not safe for concurrent use.
type Batch struct{ ed *editor }

// Apply folds one entry more, as State.Apply does. If it fails, the Batch is as
// before.
func (b *Batch) Apply(sequence uint64, raw []byte) (Effects, error) {
	e, err := wire.ReadEntry(string(raw))
	if err != nil {
		return Effects{}, fmt.Errorf("sequence %d: %w", sequence, err)
	}
	p := &b.ed.position
	if sequence != p.Sequence+1 || e.Epoch != p.Epoch || e.EpochID != p.EpochID {
		return Effects{}, fmt.Errorf("%w: sequence %d of epoch %d (%s), state is at %s (%s)",
			ErrPosition, sequence, e.Epoch, e.EpochID, p, p.EpochID)
	}
	p.Sequence = sequence
	b.ed.effects = Effects{Awaited: e.Awaited}
	for _, raw := range e.Changes {
		b.ed.fold(raw)
		b.ed.work(foldEffort)
	}
	return b.ed.effects, nil
}

// OnPause has pause called now and then while the Batch works, after a few dozen
// microseconds each time, for the sake of others on the same processor.
func (b *Batch) OnPause(pause func()) { b.ed.pause = pause }

// SetHash is that of the State so far.
func (b *Batch) SetHash() uint64 { return b.ed.setHash }

// State is the state so far. The Batch may go on.
func (b *Batch) State() *State { return b.ed.state() }
