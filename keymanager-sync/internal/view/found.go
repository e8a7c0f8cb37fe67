package view

import (
	"context"
	"errors"
	"fmt"

	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// errBegun: the next epoch has entries that this replica does not know.
var errBegun = errors.New("that epoch has begun already")

// Found begins the next epoch from what stands on this replica's disk: it
// creates a log whose first entry follows the last one the view has. It is for
// an operator, when the log was lost or rolled back, and must be run on the most
// advanced replica while that replica is stopped: what other replicas have
// beyond it is given up. The other replicas take a snapshot from this one (their
// `peers` setting), and nodes resync.
//
// It may be repeated if it was interrupted.
func Found(ctx context.Context, v *View, bus *stream.Bus) (*stream.Log, error) {
	state := v.State()
	p := state.Position()
	if p.Epoch == 0 {
		return nil, fmt.Errorf("found: %w; a log for an empty fleet is founded by starting a replica", ErrEmpty)
	}
	log, err := bus.Found(ctx, p.Epoch+1, p.Sequence+1, v.cfg.Replicas)
	if err != nil {
		return nil, err
	}
	_, last, err := log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	if last > p.Sequence {
		return nil, fmt.Errorf("found epoch %d: %w and stands at sequence %d (hint: let this replica take a snapshot from a peer)", p.Epoch+1, errBegun, last)
	}
	if err := v.adopt(log, state, p.Sequence); err != nil {
		return nil, fmt.Errorf("found epoch %d: %w", p.Epoch+1, err)
	}
	return log, nil
}
