package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/mask"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
)

const (
	snapshotTimeout = 2 * time.Minute
	// A state that changes all the time is saved so that saving takes a
	// hundredth of the time at most: requests on the same processor feel it.
	saveShare   = 100
	saveMinimum = time.Second
	// Where only a snapshot brings what is in force to disk, a tenth.
	hurriedShare = 10
	// A snapshot that could not be saved is tried again after this at most.
	saveMaximum = 10 * time.Second

	// Entries from a journal are folded so many at a time.
	replayAtOnce = 1024
)

// loadDisk installs the newest valid snapshot on disk, if there is one, with the
// entries that the journals hold after it.
func (f *Feed) loadDisk(ctx context.Context) {
	if f.cfg.Disk == nil {
		return
	}
	began := time.Now()
	var s *catalog.State
	loaded, err := f.cfg.Disk.Load(func(r *snapshot.Reader) error {
		var err error
		s, err = build(r, nil)
		return err
	})
	if errors.Is(err, snapshot.ErrNone) {
		f.recorder.nothingLoaded()
		return
	}
	for _, fault := range append(loaded.Skipped, err) {
		if fault != nil {
			f.cfg.Metrics.diskFaults.Inc()
			f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "snapshot on disk cannot be used", slog.Any("error", fault))
		}
	}
	if err != nil {
		return
	}
	f.loaded = savedOf(s)
	s, replayed := f.replay(ctx, s)
	if err := f.install(s); err != nil {
		f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "state from disk cannot be served", slog.Any("error", err))
		return
	}
	f.recorder.loaded(s.Position())
	written := time.UnixMilli(loaded.Header.GetWrittenAt())
	if replayed.At.After(written) {
		written = replayed.At
	}
	f.status.startedFrom(written)
	f.status.set(pb.Heartbeat_STALE)
	f.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "state loaded from disk",
		slog.Uint64("sequence", s.Position().Sequence), slog.Int("resources", s.ChangeCount()),
		slog.Int("entries_from_journal", replayed.Entries), slog.Duration("took", time.Since(began)))
}

// replay folds what the journals hold after a state. What cannot be read or folded
// ends it: the rest comes from the log.
func (f *Feed) replay(ctx context.Context, s *catalog.State) (*catalog.State, snapshot.Replayed) {
	b, folded := s.Batch(), 0
	replayed, err := f.cfg.Disk.Replay(snapshot.Position(s.Position()), func(sequence uint64, entry []byte) error {
		if _, err := b.Apply(sequence, entry); err != nil {
			return err
		}
		if folded++; folded%replayAtOnce == 0 {
			b = b.State().Batch()
		}
		return nil
	})
	for _, fault := range append(replayed.Faults, err) {
		if fault != nil {
			f.cfg.Metrics.journalFaults.Inc()
			f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "journal on disk cannot be used beyond a point", slog.Any("error", fault))
		}
	}
	if folded == 0 {
		return s, replayed
	}
	return b.State(), replayed
}

// startedFrom notes how old a state from disk is.
func (s *status) startedFrom(written time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atHead = written
}

// build makes the state that a snapshot holds. last is the one it will replace.
func build(r *snapshot.Reader, last *catalog.State) (*catalog.State, error) {
	h := r.Header()
	b := catalog.NewBuilder(catalog.Position{Epoch: h.GetEpoch(), EpochID: h.GetFounding(), Sequence: h.GetSequence()}, last)
	// Reading and folding take about as long: they go on at the same time.
	batches := make(chan []string, 4)
	var g errgroup.Group
	g.Go(func() error {
		defer close(batches)
		return readBatches(r, batches)
	})
	for batch := range batches {
		for _, raw := range batch {
			b.Add(raw)
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	s := b.State()
	if s.SetHash() != h.GetSetHash() {
		return nil, fmt.Errorf("snapshot at sequence %d: set hash %016x, header says %016x",
			h.GetSequence(), s.SetHash(), h.GetSetHash())
	}
	return s, nil
}

func readBatches(r *snapshot.Reader, to chan<- []string) error {
	const size = 1024
	batch := make([]string, 0, size)
	for {
		raw, err := r.Next()
		if err != nil {
			to <- batch
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if batch = append(batch, raw); len(batch) == size {
			to <- batch
			batch = make([]string, 0, size)
		}
	}
}

// takeSnapshot gets a snapshot from one of the control plane's addresses and installs it.
func (f *Feed) takeSnapshot(ctx context.Context) error {
	if len(f.cfg.Control) == 0 {
		return errors.New("no control-plane address is set")
	}
	var faults []error
	for _, i := range rand.Perm(len(f.cfg.Control)) { //nolint:gosec // to spread the load
		s, err := f.fetchSnapshot(ctx, f.cfg.Control[i])
		if err != nil {
			faults = append(faults, fmt.Errorf("snapshot from %s: %w", mask.URL(f.cfg.Control[i]), mask.Error(err)))
			continue
		}
		if err := f.replace(s); err != nil {
			return err
		}
		f.status.resynced(time.Now())
		f.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "state loaded from the control plane",
			slog.String("from", mask.URL(f.cfg.Control[i])), slog.Uint64("sequence", s.Position().Sequence),
			slog.Int("resources", s.ChangeCount()))
		return nil
	}
	return errors.Join(faults...)
}

func (f *Feed) fetchSnapshot(ctx context.Context, control string) (*catalog.State, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(control, "/")+"/v1/snapshot", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+f.cfg.Token)
	// The body is compressed by its own format.
	req.Header.Set("Accept-Encoding", "identity")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", res.Status)
	}
	r, err := snapshot.NewReader(res.Body)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	last := f.current()
	s, err := build(r, last)
	if err != nil {
		return nil, err
	}
	if last != nil {
		if err := mayReplace(last.Position(), s.Position()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// mayReplace refuses a snapshot that would undo what is in force. A log that
// was lost is replaced by one of a later epoch, so a later epoch always may. The
// same epoch with another id means that somebody started over from nothing: a
// node does not empty itself because of that.
func mayReplace(old, next catalog.Position) error {
	switch {
	case next.Epoch > old.Epoch:
		return nil
	case next.Epoch < old.Epoch || next.EpochID == old.EpochID && next.Sequence < old.Sequence:
		return fmt.Errorf("the snapshot at %s is older than the state at %s", next, old)
	case next.EpochID != old.EpochID:
		return fmt.Errorf("the snapshot is of epoch %d as founded anew (%s), the state of the first founding (%s)"+
			" (hint: if that was meant, remove this node's snapshots directory and restart it; if not, run `keymanager-sync new-epoch` on the replica that has the data)",
			next.Epoch, next.EpochID, old.EpochID)
	}
	return nil
}

// keepSaved writes the state to disk whenever it has changed, and once more at the end.
func (f *Feed) keepSaved(ctx context.Context) {
	breath, err := newBreather()
	if err != nil {
		f.cfg.Metrics.diskFaults.Inc()
		f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the state will not be saved", slog.Any("error", err))
		return
	}
	defer breath.close()
	last, failures := f.loaded, 0
	for {
		select {
		case <-ctx.Done():
			_, _ = f.save(context.WithoutCancel(ctx), last, breath)
			return
		case <-f.unsaved:
		case <-f.recorder.unanchored:
		}
		began := time.Now()
		if last, err = f.save(ctx, last, breath); err != nil {
			failures++
			signal(f.unsaved)
		} else {
			failures = 0
		}
		f.restAfterSave(ctx, time.Since(began), failures)
	}
}

// restAfterSave waits until the next snapshot may be written, or until ctx ends.
func (f *Feed) restAfterSave(ctx context.Context, took time.Duration, failures int) {
	least := max(min(saveMinimum<<min(failures, 10), saveMaximum), hurriedShare*took)
	if !sleep(ctx, least) {
		return
	}
	rest := time.NewTimer(saveShare*took - least)
	defer rest.Stop()
	select {
	case <-ctx.Done():
	case <-rest.C:
	case <-f.recorder.unanchored:
		signal(f.recorder.unanchored) // still
	}
}

// saved tells which state was saved, without keeping it in memory.
type saved struct {
	position catalog.Position
	hash     uint64
}

func savedOf(s *catalog.State) saved {
	if s == nil {
		return saved{}
	}
	return saved{s.Position(), s.SetHash()}
}

// toSave is the current state, of which a snapshot is about to be written.
func (f *Feed) toSave() *catalog.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != nil {
		f.recorder.saving(f.state.Position())
	}
	return f.state
}

// save writes the current state unless it is the last saved one, which it returns.
func (f *Feed) save(ctx context.Context, last saved, breath *breather) (saved, error) {
	s := f.toSave()
	if s == nil {
		return last, nil
	}
	err := f.write(s, last, breath)
	f.recorder.saved(s.Position(), err)
	if err != nil {
		f.cfg.Metrics.diskFaults.Inc()
		f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "state was not saved", slog.Any("error", err))
		return last, err
	}
	return savedOf(s), nil
}

func (f *Feed) write(s *catalog.State, last saved, breath *breather) error {
	if savedOf(s) == last {
		return nil
	}
	p := s.Position()
	header := s.SnapshotHeader(f.status.currentAt(time.Now()), f.cfg.NodeID+" "+f.cfg.Version)
	err := f.cfg.Disk.Save(p.Epoch, p.Sequence, func(w io.Writer) error { return snapshot.Write(w, header, s.ChangesWithPauses(breath.breathe)) })
	if err == nil {
		f.cfg.Metrics.saved.SetToCurrentTime()
	}
	return err
}
