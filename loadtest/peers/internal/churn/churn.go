//go:build linux

// Package churn appends changes to the log at a fixed rate, in entries like those
// that a control plane writes when many commands wait.
package churn

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/world"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// group is how many commands a control plane puts into one entry at most.
const group = 256

// Config says what is written, where.
type Config struct {
	NATS  string      `json:"nats"` // address
	Rate  float64     `json:"rate"` // changes each second
	Sizes world.Sizes `json:"sizes"`
}

// Result is what was written.
type Result struct {
	Changes      int    `json:"changes"`
	Microseconds int64  `json:"microseconds"`
	Last         uint64 `json:"last"` // sequence
}

// Run writes until ctx ends.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	outlives := context.WithoutCancel(ctx)
	bus, err := stream.Connect(ctx, stream.Config{URLs: []string{"nats://" + cfg.NATS}, Name: "churn", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer bus.Close()
	log, err := bus.Find(ctx)
	if err != nil {
		return nil, err
	}
	_, last, err := log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{sizes: cfg.Sizes, begun: time.Now(), identity: log.Identity()}
	for r := (&Result{Last: last}); ; {
		due := time.Duration(float64(r.Changes) / cfg.Rate * float64(time.Second))
		select {
		case <-ctx.Done():
			r.Microseconds = time.Since(w.begun).Microseconds()
			return r, nil
		case <-time.After(due - time.Since(w.begun)):
		}
		data, err := w.entry()
		if err != nil {
			return nil, err
		}
		// What was begun is finished, so that Last is true.
		attempt, cancel := context.WithTimeout(outlives, 10*time.Second)
		r.Last, err = log.Append(attempt, r.Last, "churn", data, fmt.Sprintf("churn-%d-%d", w.begun.UnixNano(), r.Changes))
		cancel()
		if err != nil {
			return nil, fmt.Errorf("append: %w", err)
		}
		r.Changes += group
	}
}

// writer makes entries.
type writer struct {
	sizes    world.Sizes
	begun    time.Time
	identity stream.Identity
	made     int // changes so far
}

func (w *writer) entry() ([]byte, error) {
	now := time.Now()
	e := &pb.Entry{Epoch: w.identity.Epoch, Founding: w.identity.EpochID}
	for range group {
		c, err := w.change(now)
		if err != nil {
			return nil, err
		}
		e.Transactions = append(e.Transactions, &pb.Transaction{
			Actor: "churn", Time: now.UnixMilli(), Command: "load", Changes: []*pb.Change{c},
		})
		w.made++
	}
	return proto.Marshal(e)
}

// change is, of ten, seven subscriptions that are paused or resumed, two
// applications that are renamed, and one token that is revoked: of applications
// whose tokens the load does not use (see Sizes.Idle).
func (w *writer) change(now time.Time) (*pb.Change, error) {
	n := w.made
	idle := w.sizes.Idle(n / 10)
	c := &pb.Change{Version: uint64(now.UnixMilli()), CreatedAt: now.Unix()}
	var m proto.Message
	switch n % 10 {
	case 7, 8:
		a := w.sizes.Application(idle)
		c.Kind, c.Id, m = pb.Kind_KIND_APPLICATION, a.GetId(), a
		a.Id, a.Name = "", fmt.Sprintf("Renamed %d times", n)
	case 9:
		c.Kind, c.Id = pb.Kind_KIND_REVOCATION, fmt.Sprintf("churn-%d-%d", w.begun.UnixNano(), n)
		m = world.Revocation(c.GetId(), now.Add(time.Hour))
	default:
		s := w.sizes.Subscription(idle, n%10)
		c.Kind, c.Id, m = pb.Kind_KIND_SUBSCRIPTION, s.GetId(), s
		s.Id = ""
		if c.Restrictive = n/10%2 == 0; c.GetRestrictive() {
			s.Status = pb.Subscription_PAUSED
		}
	}
	var err error
	c.Resource, err = proto.Marshal(m)
	return c, err
}
