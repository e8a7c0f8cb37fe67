package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/account"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/churn"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/contend"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
)

const (
	// ChurnRate is the number of changes each second.
	ChurnRate = 20_000
	// mostPaced is the fixed rate that the load's processor, which serves the upstream,
	// too, can keep with a third to spare.
	mostPaced = 18_000
	// Disturbed is appended to the names of those who apply changes meanwhile.
	Disturbed = "-churn"
	// A gateway has applied what was written after this time at most.
	catchUp = 5 * time.Second
	// And has saved its state after this.
	settle = time.Minute
)

// halve finds half of the bare proxy's saturation: the rate of requests at which it
// uses half of its processor. That is less than half of what wrk gets out of it,
// because a proxy that always finds many requests waiting handles them in one go. At
// half of that figure the load's own processor would be full, and the load would be
// measured and not the proxy. The rate is mostPaced at most, for the same reason.
func (b *Bench) halve(ctx context.Context, result *figures.Workload) error {
	if b.Half == 0 {
		b.Say("  looking for the rate at which the bare proxy is half busy")
		w := half()
		e, err := b.enter(ctx, w, Bare)
		if err != nil {
			return err
		}
		defer e.Kill()
		b.Half = mostPaced / 2
		var guesses []float64
		for range 7 {
			s, err := b.measure(ctx, w, e)
			if err != nil {
				return err
			}
			guesses = append(guesses, b.Half*min(max(0.5/figures.Busy(*s), 0.5), 2))
			b.Half = min(figures.Spread(guesses).Median, mostPaced)
		}
	}
	result.Rate = b.Half
	b.Say("  %.0f requests/s", result.Rate)
	return nil
}

// half is how the rate is found.
func half() Workload {
	w := Workloads()[0]
	w.Mode, w.Seconds = Paced, 1
	return w
}

// disturb lets every gateway take part a second time, with changes. The control
// plane is ended: that it writes down the changes for itself would disturb the load
// that runs at the same time, and the nodes follow the log without it.
func (b *Bench) disturb(quiet []*entrant) []*entrant {
	b.World.Controls[0].Kill()
	all := quiet
	for _, e := range quiet {
		twin := *e
		twin.churn, twin.series = true, &figures.Series{Contender: e.Name + Disturbed}
		all = append(all, &twin)
	}
	return all
}

// turn is one contender's part in a round.
func (b *Bench) turn(ctx context.Context, w Workload, e *entrant) (*figures.Sample, error) {
	if w.Mode == Churn { // what changes leave behind is not to be measured with the next part
		rest, cancel := context.WithTimeout(ctx, settle)
		defer cancel()
		if err := account.AwaitQuiet(rest, e.Process); err != nil {
			return nil, err
		}
	}
	if !e.churn {
		return b.measure(ctx, w, e)
	}
	stop, err := b.Roles.Churn(ctx, churn.Config{NATS: b.World.NATS[0].Address, Rate: ChurnRate, Sizes: b.World.Sizes})
	if err != nil {
		return nil, err
	}
	sample, err := b.measure(ctx, w, e)
	written, stopErr := stop()
	if err := errors.Join(err, stopErr); err != nil {
		return nil, err
	}
	sample.Changes = float64(written.Changes) / float64(written.Microseconds) * 1e6
	return sample, awaitSequence(ctx, e.Contender, written.Last)
}

// awaitSequence waits until a gateway has applied an entry of the log.
func awaitSequence(ctx context.Context, c *contend.Contender, sequence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for {
		r, err := c.Readiness(ctx)
		if err == nil && r.Sequence >= sequence {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is at entry %d, and not at %d, %s after the last was written: %w", r.Sequence, sequence, catchUp, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
