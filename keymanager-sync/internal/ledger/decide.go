package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// What an entry needs besides its transactions, and a transaction besides itself.
const (
	entryOverhead       = 128
	transactionOverhead = 8
)

// round is a group of requests, decided once against one state.
type round struct {
	// accepted have a transaction in the entry.
	accepted []*reply
	// settled need none: refused, without effect, or repeated.
	settled []*reply
	// later did not fit into the entry.
	later []*request
	entry *pb.Entry

	now time.Time
	// scratch is the state with what was accepted so far.
	scratch *catalog.State
	// size of the entry so far, and what it may be.
	size, limit int
	// keys are the idempotency keys in the entry, and their commands.
	keys map[string]string
}

// reply is what one request is answered.
type reply struct {
	request *request
	result  Result
	err     error
	// twin: an earlier request of the same entry has the same idempotency key.
	twin bool
}

// requests returns all that are still to be answered.
func (d *round) requests() []*request {
	all := make([]*request, 0, len(d.accepted)+len(d.settled)+len(d.later))
	for _, r := range d.accepted {
		all = append(all, r.request)
	}
	for _, r := range d.settled {
		all = append(all, r.request)
	}
	return append(all, d.later...)
}

// decide decides the requests in their order, each against the state that the
// ones before it lead to.
func (l *Ledger) decide(state *catalog.State, limit int, group []*request) *round {
	p := state.Position()
	d := &round{
		entry: &pb.Entry{Epoch: p.Epoch, Founding: p.EpochID},
		now:   time.Now(), scratch: state, size: entryOverhead, limit: limit, keys: make(map[string]string),
	}
	for i, r := range group {
		if r.abandoned.Load() {
			continue
		}
		if reply := l.repeated(r, d.keys); reply != nil {
			d.settled = append(d.settled, reply)
			continue
		}
		proposal, next, err := l.propose(d.scratch, r, d.now)
		if err != nil || len(proposal.Changes) == 0 {
			d.settled = append(d.settled, settled(r, proposal, err))
			continue
		}
		if !d.accept(r, proposal, next) {
			d.later = group[i:]
			break
		}
	}
	return d
}

// accept puts a command's changes into the entry; false: it is full.
func (d *round) accept(r *request, proposal *rules.Proposal, next *catalog.State) bool {
	t := transaction(r, proposal, d.now)
	bytes := proto.Size(t) + transactionOverhead
	switch {
	case entryOverhead+bytes > d.limit:
		d.settled = append(d.settled, &reply{request: r, err: &TooLarge{Bytes: bytes, Limit: d.limit - entryOverhead}})
		return true
	case d.size+bytes > d.limit:
		return false
	case !r.take():
		return true
	}
	d.size += bytes
	d.scratch = next
	d.entry.Transactions = append(d.entry.Transactions, t)
	d.entry.Awaited = d.entry.Awaited || r.meta.Awaited
	d.accepted = append(d.accepted, &reply{request: r, result: Result{Changes: proposal.Changes, Notes: proposal.Notes}})
	if key := r.meta.IdempotencyKey; key != "" {
		d.keys[key] = t.GetCommand()
	}
	return true
}

func settled(r *request, proposal *rules.Proposal, err error) *reply {
	if err != nil {
		return &reply{request: r, err: err}
	}
	return &reply{request: r, result: Result{Notes: proposal.Notes}}
}

func transaction(r *request, proposal *rules.Proposal, now time.Time) *pb.Transaction {
	return &pb.Transaction{
		Actor: r.meta.Actor, Time: now.UnixMilli(), IdempotencyKey: r.meta.IdempotencyKey,
		Command: r.cmd.String(), Changes: proposal.Changes,
	}
}

// propose decides one command. A fault of the program in it costs only this command.
func (l *Ledger) propose(s *catalog.State, r *request, now time.Time) (p *rules.Proposal, next *catalog.State, err error) {
	cmd := r.cmd
	defer func() {
		if fault := recover(); fault != nil {
			l.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "deciding a command panicked",
				slog.String("command", cmd.String()), slog.Any("fault", fault), slog.String("stack", string(debug.Stack())))
			p, next, err = nil, nil, ErrInternal
		}
	}()
	p, err = command.Decide(s, cmd, now)
	if err != nil || len(p.Changes) == 0 {
		return p, s, err
	}
	if l.cfg.Understood != nil && !r.meta.AllowSkew {
		if err := l.cfg.Understood(p.Changes); err != nil {
			return nil, nil, err
		}
	}
	next, err = s.WithChanges(p.Changes)
	if err != nil {
		return nil, nil, fmt.Errorf("decide %s: %w", cmd, err)
	}
	return p, next, nil
}

// repeated returns the reply to a request whose idempotency key the log, or the entry that
// is being made, already holds; nil: the key is new.
func (l *Ledger) repeated(r *request, keys map[string]string) *reply {
	key := r.meta.IdempotencyKey
	if key == "" {
		return nil
	}
	if before, ok := keys[key]; ok {
		if before != r.cmd.String() {
			return &reply{request: r, err: &KeyReuse{Key: key, Before: before}}
		}
		return &reply{request: r, twin: true, result: Result{Repeated: true}}
	}
	m, ok, err := l.cfg.Store.Remembered(key)
	switch {
	case err != nil:
		return &reply{request: r, err: &Unavailable{Reason: err.Error()}}
	case !ok:
		return nil
	case m.Command != store.Shorten(r.cmd.String()):
		return &reply{request: r, err: &KeyReuse{Key: key, Before: m.Command}}
	}
	return &reply{request: r, result: Result{Repeated: true, Sequence: m.Sequence}}
}
