package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/mask"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const (
	// Of one download of a peer's snapshot.
	downloadTimeout = 5 * time.Minute
	// Of reading what a snapshot lacks from the log.
	recallTimeout = 5 * time.Minute
)

// encode writes a state as nodes and peers download it.
func encode(state *catalog.State, stream, writer string) ([]byte, error) {
	header := state.SnapshotHeader(time.Now(), writer)
	header.Stream = stream
	var body bytes.Buffer
	if err := snapshot.Write(&body, header, state.Changes()); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// catchUp replaces the store by a peer's snapshot, because the log does not reach
// back to what is on this disk. The old file stays next to the new one.
func (st *Store) catchUp(ctx context.Context, log *stream.Log, why string) error {
	if len(st.cfg.Peers) == 0 {
		return holdf("%s: a snapshot of another replica is needed (hint: name the other replicas in the setting peers)", why)
	}
	st.catches++
	first, _, err := log.Bounds(ctx)
	if err != nil {
		return err
	}
	st.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "taking a snapshot from a peer", slog.String("reason", why))
	var faults []error
	for _, i := range rand.Perm(len(st.cfg.Peers)) { //nolint:gosec // spreads load, hides nothing
		peer := strings.TrimSuffix(st.cfg.Peers[i], "/")
		state, err := st.download(ctx, peer, log.Identity(), first)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", mask.URL(peer), mask.Error(err)))
			continue
		}
		if err := st.replace(ctx, log, first, state); err != nil {
			return holdf("the store cannot be written to %s: %v (hint: look at the disk; the replica keeps trying)", st.disk.path, err)
		}
		st.restart(state)
		st.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "snapshot taken", slog.String("peer", mask.URL(peer)), slog.Uint64("sequence", state.Position().Sequence))
		return nil
	}
	return holdf("%s, and no peer gave a snapshot: %v (hint: the replica keeps trying)", why, errors.Join(faults...))
}

// replace puts a peer's state on disk. A snapshot has no idempotency keys: those
// that the present file has are kept, and those of the entries in between are
// read from the log, as far back as it goes.
func (st *Store) replace(ctx context.Context, log *stream.Log, first uint64, state *catalog.State) error {
	known := st.State().Position()
	switch id := log.Identity(); {
	case known.Epoch == id.Epoch && known.EpochID == id.EpochID:
	case known.Epoch+1 == id.Epoch:
		// What this replica had beyond the founder was given up: it may be asked for again.
		known.Sequence = min(known.Sequence, log.First()-1)
	default:
		// Which entries were given up in the epochs between is not known.
		known.Sequence = 0
	}
	fresh, err := st.disk.prepare(state, known.Sequence)
	if err != nil {
		return err
	}
	if err := st.recall(ctx, log, max(first, known.Sequence+1), state.Position().Sequence, fresh); err != nil {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), fresh.discard())
		}
		st.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "idempotency keys of entries that this replica has skipped are not known to it",
			slog.Uint64("from", known.Sequence+1), slog.Uint64("to", state.Position().Sequence), slog.Any("error", err))
	}
	return st.disk.install(fresh)
}

// recall reads the idempotency keys of the entries from one sequence to another.
func (st *Store) recall(ctx context.Context, log *stream.Log, from, to uint64, fresh *replacement) error {
	if to >= memoryLimit { // more could not be remembered
		from = max(from, to-memoryLimit+1)
	}
	if from > to {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recallTimeout)
	defer cancel()
	done := errors.New("all has been read")
	err := log.Follow(ctx, from-1, func(batch []stream.Message) error {
		var found []memory
		for _, m := range batch {
			if m.Sequence <= to {
				found = append(found, memoriesOf(m.Sequence, m.Data)...)
			}
		}
		if err := fresh.remember(found); err != nil {
			return err
		}
		if batch[len(batch)-1].Sequence >= to {
			return done
		}
		return nil
	})
	if errors.Is(err, done) {
		return nil
	}
	return err
}

// restart shows a state that does not follow from the one before it.
func (st *Store) restart(state *catalog.State) {
	st.mu.Lock()
	st.last, st.behind, st.recent, st.foreign = 0, time.Time{}, recent{}, false
	st.mu.Unlock()
	st.publish(state, nil)
}

// download builds a peer's state aside. first is where the log begins.
func (st *Store) download(ctx context.Context, peer string, id stream.Identity, first uint64) (*catalog.State, error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, peer+"/v1/snapshot", http.NoBody)
	if err != nil {
		return nil, err
	}
	if st.cfg.PeerToken != "" {
		request.Header.Set("Authorization", "Bearer "+st.cfg.PeerToken)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answers %s", response.Status)
	}
	reader, err := snapshot.NewReader(response.Body)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return st.build(reader, id, first)
}

func (st *Store) build(reader *snapshot.Reader, id stream.Identity, first uint64) (*catalog.State, error) {
	header, before := reader.Header(), st.State()
	if header.GetEpoch() != id.Epoch || header.GetFounding() != id.EpochID {
		return nil, fmt.Errorf("its snapshot is of epoch %d with the id %q; the log is of epoch %d with the id %q",
			header.GetEpoch(), header.GetFounding(), id.Epoch, id.EpochID)
	}
	if before.Position().Epoch == id.Epoch && header.GetSequence() < before.Position().Sequence {
		return nil, fmt.Errorf("its snapshot is of sequence %d, this replica has %d", header.GetSequence(), before.Position().Sequence)
	}
	if header.GetSequence()+1 < first {
		return nil, fmt.Errorf("its snapshot is of sequence %d, and the log begins at %d", header.GetSequence(), first)
	}
	builder := catalog.NewBuilder(catalog.Position{
		Epoch: header.GetEpoch(), EpochID: header.GetFounding(), Sequence: header.GetSequence(),
	}, before)
	for {
		change, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		builder.Add(change)
	}
	state := builder.State()
	if state.SetHash() != header.GetSetHash() {
		return nil, fmt.Errorf("the set hash of its snapshot is %016x, it says %016x", state.SetHash(), header.GetSetHash())
	}
	return state, nil
}
