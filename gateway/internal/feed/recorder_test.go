package feed

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// record is a recorder without its goroutine: the test says when it writes.
type record struct {
	*recorder
	t        *testing.T
	dir      string
	journal  *snapshot.Journal
	registry *prometheus.Registry
	at       catalog.Position // applied
}

func newRecord(t *testing.T) *record {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "snapshots")
	disk, err := snapshot.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	cfg := &Config{Disk: disk, Metrics: NewMetrics(registry), Logger: slog.New(slog.DiscardHandler)}
	r := &record{recorder: newRecorder(cfg, make(chan struct{}, 1)), t: t, dir: dir, journal: disk.Journal(), registry: registry}
	t.Cleanup(func() { r.journal.Close() })
	return r
}

func position(epoch, sequence uint64) catalog.Position {
	return catalog.Position{Epoch: epoch, EpochID: fmt.Sprint("founding-", epoch), Sequence: sequence}
}

// apply applies so many entries.
func (r *record) apply(n uint64, awaited bool) {
	var batch []stream.Message
	for range n {
		r.at.Sequence++
		batch = append(batch, stream.Message{Sequence: r.at.Sequence, Data: fmt.Append(nil, r.at)})
	}
	r.applied(batch, awaited)
}

func (r *record) replace(p catalog.Position) {
	r.at = p
	r.replaced(p)
}

// snapshot writes a snapshot as a node does, and does something meanwhile.
func (r *record) snapshot(meanwhile func()) {
	r.t.Helper()
	p := r.at
	r.saving(p)
	meanwhile()
	err := r.disk.Save(p.Epoch, p.Sequence, func(w io.Writer) error {
		return snapshot.Write(w, &pb.SnapshotHeader{Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence}, slices.Values([]string(nil)))
	})
	r.saved(p, err)
}

// fromDisk is where a node would come that starts now.
func (r *record) fromDisk() catalog.Position {
	r.t.Helper()
	disk, err := snapshot.OpenDir(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	loaded, err := disk.Load(func(s *snapshot.Reader) error {
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	})
	if errors.Is(err, snapshot.ErrNone) {
		return catalog.Position{}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	p := catalog.Position{Epoch: loaded.Header.GetEpoch(), EpochID: loaded.Header.GetFounding(), Sequence: loaded.Header.GetSequence()}
	// A hole is a fault that Replay tells of: where a chain was never anchored there is one.
	_, err = disk.Replay(snapshot.Position(p), func(sequence uint64, entry []byte) error {
		if p.Sequence++; p.Sequence != sequence || string(entry) != fmt.Sprint(p) {
			return fmt.Errorf("%d is %q", sequence, entry)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *record) expect(what string, want catalog.Position) {
	r.t.Helper()
	if got := r.reported(r.at); got != want {
		r.t.Errorf("%s: %v is reported, want %v", what, got, want)
	}
}

func TestReportedIsOnDisk(t *testing.T) {
	r := newRecord(t)
	r.at = position(1, 10)
	r.snapshot(func() {})
	r.loaded(r.at)
	r.expect("loaded", position(1, 10))
	r.apply(3, true)
	r.expect("applied", position(1, 10))
	select {
	case <-r.beat:
		t.Error("a heartbeat was asked for before the entries were on disk")
	default:
	}
	r.flush(r.journal)
	r.expect("written", position(1, 13))
	select {
	case <-r.beat:
	default:
		t.Error("no heartbeat was asked for although somebody waits")
	}
	if got := r.fromDisk(); got != position(1, 13) {
		t.Errorf("the disk leads to %v", got)
	}

	// Another state counts when its snapshot is on disk, not with one that was begun before.
	r.snapshot(func() { r.replace(position(1, 50)); r.apply(2, false); r.flush(r.journal) })
	r.expect("replaced", position(1, 13))
	if len(r.unanchored) != 1 {
		t.Error("no snapshot is asked for")
	}
	r.snapshot(func() { r.apply(1, false); r.flush(r.journal) })
	r.expect("saved", position(1, 53))

	// So does the next epoch, whose sequences may be lower.
	r.replace(position(2, 5))
	r.apply(1, false)
	r.flush(r.journal)
	r.expect("the next epoch before it is saved", position(1, 53))
	r.snapshot(func() {})
	r.expect("the next epoch", position(2, 6))
}

// Where there is nothing on disk, nothing can come back that was revoked.
func TestReportedOnABareDisk(t *testing.T) {
	r := newRecord(t)
	r.nothingLoaded()
	r.replace(position(1, 10))
	r.expect("the first state", position(1, 10))
	r.apply(1, true)
	r.expect("an entry", position(1, 10))
	r.flush(r.journal)
	r.expect("an entry that is written", position(1, 11))
	r.snapshot(func() {
		r.replace(position(2, 3))
		r.expect("a state that came while the first snapshot is written", position(1, 11))
	})
	r.expect("the first snapshot", position(1, 11))
	if got := r.fromDisk(); got != position(1, 11) {
		t.Errorf("the disk leads to %v", got)
	}
}

// What is written of the state before says nothing of the one that replaced it.
func TestReportedWhenReplacedDuringAWrite(t *testing.T) {
	r := newRecord(t)
	r.nothingLoaded()
	r.replace(position(1, 10))
	r.apply(3, false)
	piece := r.take()
	r.replace(position(2, 3))
	r.wrote(piece, nil)
	r.expect("written", position(2, 3))
	r.wrote(piece, errDiskBehind)
	if r.broken {
		t.Error("a fault of the state before makes the disk useless for this one")
	}
}

// Requests are decided with what the heartbeat does not say yet.
func TestHeartbeatNamesWhatIsOnDisk(t *testing.T) {
	disk, err := snapshot.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	feed := New(Config{
		Disk: disk, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Compiler: &Compiler{Upstreams: fast.NewPool().Prepare}, Counters: func() (uint64, uint64) { return 0, 0 },
	})
	breath, err := newBreather()
	if err != nil {
		t.Fatal(err)
	}
	defer breath.close()
	if err := feed.install(catalog.Empty().At(position(1, 10))); err != nil {
		t.Fatal(err)
	}
	feed.recorder.loaded(position(1, 10))
	entry, err := proto.Marshal(&pb.Entry{Epoch: 1, Founding: position(1, 0).EpochID, Awaited: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := feed.applyBatch([]stream.Message{{Sequence: 11, Data: entry}}, breath); err != nil {
		t.Fatal(err)
	}
	if in, said := feed.View().State.Position().Sequence, feed.heartbeat().GetSequence(); in != 11 || said != 10 || len(feed.beat) != 0 {
		t.Errorf("before it is on disk: %d in force, %d said, %d heartbeats asked for", in, said, len(feed.beat))
	}
	journal := disk.Journal()
	defer journal.Close()
	feed.recorder.flush(journal)
	if said := feed.heartbeat().GetSequence(); said != 11 || len(feed.beat) != 1 {
		t.Errorf("when it is on disk: %d said, %d heartbeats asked for", said, len(feed.beat))
	}
}

// While entries that somebody waits for come without end, each write to disk is
// followed by a heartbeat: the first to wait must not wait for the last.
func TestEachWriteIsReportedWhileOthersWait(t *testing.T) {
	r := newRecord(t)
	r.at = position(1, 10)
	r.snapshot(func() {})
	r.loaded(r.at)
	r.apply(1, true)
	first := r.take()
	for range 3 {
		r.apply(1, true) // during the write
		r.wrote(first, r.journal.Append(snapshot.Position(first.after), first.entries, time.Now()))
		select {
		case <-r.beat:
		default:
			t.Fatal("what is on disk is not reported because something else is not")
		}
		first = r.take()
	}
	r.wrote(first, r.journal.Append(snapshot.Position(first.after), first.entries, time.Now()))
	if <-r.beat; r.awaited != 0 {
		t.Errorf("sequence %d is still waited for", r.awaited)
	}
}

// A disk that fails makes the node say less, until a snapshot is on it.
func TestReportedWhileTheDiskFails(t *testing.T) {
	r := newRecord(t)
	r.at = position(1, 10)
	r.snapshot(func() {})
	r.loaded(r.at)
	r.apply(1, false)
	r.flush(r.journal)
	r.whileAway(func() {
		r.journal.Rotate()
		r.apply(2, true)
		r.flush(r.journal)
	})
	r.expect("not written", position(1, 11))
	if got := value(t, r.registry, "portcullis_journal_faults_total"); got != 1 {
		t.Errorf("%f faults are counted, want 1", got)
	}
	r.apply(3, false)
	r.flush(r.journal)
	r.expect("after the fault", position(1, 11))
	r.whileAway(func() { r.snapshot(func() {}) })
	r.apply(1, false)
	r.flush(r.journal)
	r.expect("no snapshot either", position(1, 11))
	r.snapshot(func() { r.apply(1, false); r.flush(r.journal) })
	r.expect("mended", position(1, 18))
	if got := r.fromDisk(); got != position(1, 18) {
		t.Errorf("the disk leads to %v", got)
	}
}

// whileAway takes the directory away while something is done.
func (r *record) whileAway(while func()) {
	r.t.Helper()
	if err := os.Rename(r.dir, r.dir+"-away"); err != nil {
		r.t.Fatal(err)
	}
	while()
	if err := os.Rename(r.dir+"-away", r.dir); err != nil {
		r.t.Fatal(err)
	}
}

// A disk that hangs does not fill the memory.
func TestDiskBehind(t *testing.T) {
	r := newRecord(t)
	r.loaded(position(1, 0))
	large := make([]byte, recordBehind/4)
	for s := range uint64(5) {
		r.applied([]stream.Message{{Sequence: s + 1, Data: large}}, false)
	}
	if !r.broken || r.queue != nil || len(r.unanchored) != 1 {
		t.Error("the entries are kept")
	}
}

// Whatever happens in whatever order, the disk leads to what is reported, or on.
func TestDiskLeadsToWhatIsReported(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 10 {
		r := newRecord(t)
		r.nothingLoaded()
		r.replace(position(1, 7))
		for range 60 {
			r.step(rnd, true)
			got, said := r.fromDisk(), r.reported(r.at)
			nothing := got == catalog.Position{} // and so nothing is in force that was not to be
			if !nothing && (!sameLog(got, said) || got.Sequence < said.Sequence) {
				t.Fatalf("the disk leads to %v, reported is %v, applied %v", got, said, r.at)
			}
		}
		r.snapshot(func() {})
		r.expect("in the end", r.at)
	}
}

// step does something that a node may do; other is whether that may be with a snapshot.
func (r *record) step(rnd *rand.Rand, other bool) {
	switch n := rnd.IntN(12); {
	case n < 4:
		r.apply(1+rnd.Uint64N(3), rnd.IntN(2) == 0)
	case n < 7:
		r.flush(r.journal)
	case n == 7:
		r.replace(position(r.at.Epoch, r.at.Sequence+rnd.Uint64N(3)))
	case n == 8 && rnd.IntN(3) == 0:
		r.replace(position(r.at.Epoch+1, rnd.Uint64N(20)))
	case !other:
	case n == 9:
		r.whileAway(func() { r.apply(1, false); r.journal.Rotate(); r.flush(r.journal) })
	case n == 10: // it starts from its disk
		if at := r.fromDisk(); at != (catalog.Position{}) {
			r.at = at
			r.journal.Close()
			r.loaded(at)
		}
	default:
		r.snapshot(func() {
			for range rnd.IntN(4) {
				r.step(rnd, false)
			}
		})
	}
}

// copied is a node's directory as it would be found after a sudden end.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// What a node says is in force, it has in force when it starts alone.
func TestInForceStaysInForce(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	dir := t.TempDir()
	n := f.node(dir)
	eventually(t, "live", n.live)
	eventually(t, "saved", func() bool { return value(t, n.registry, "portcullis_snapshot_saved_timestamp_seconds") > 0 })
	beats := make(chan *pb.Heartbeat, 1000)
	unsubscribe, err := f.bus.SubscribeHeartbeats(func(h *pb.Heartbeat) { beats <- h })
	if err != nil {
		t.Fatal(err)
	}
	defer unsubscribe()
	dirs := map[string]bool{}
	entries := 0
	for round := range 10 {
		verb := []string{"pause", "resume"}[round%2]
		sequence := f.step(verb, true)
		for h := range beats {
			if h.GetSequence() >= sequence {
				break
			}
		}
		dirs[copied(t, dir)] = verb == "resume"
	}
	n.stop()
	f.control.Close()
	f.nats.Stop(t)
	for dir, live := range dirs {
		n := f.node(dir)
		eventually(t, "a view from disk", func() bool { return n.View() != nil })
		if n.live() != live {
			t.Errorf("what was said to be in force is not; log:\n%s", n.log)
		}
		if at := n.current().Position(); at.Sequence > n.loaded.position.Sequence {
			entries++
		}
		n.stop()
	}
	if entries < 5 {
		t.Errorf("%d of %d starts needed the journal: it was not tested", entries, len(dirs))
	}
}

// A journal whose log was founded again under the same epoch is of no use, and one
// that leads beyond the log makes the node refuse what would undo it.
func TestJournalAheadOfTheLog(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	dir := t.TempDir()
	n := f.node(dir)
	eventually(t, "live", n.live)
	eventually(t, "saved", func() bool { return value(t, n.registry, "portcullis_snapshot_saved_timestamp_seconds") > 0 })
	n.stop()

	disk, err := snapshot.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	ahead := f.state.Position()
	entry := f.encode(false, &pb.Change{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: "s", Version: 9, Removed: true})
	j := disk.Journal()
	for _, founding := range []string{"another", ahead.EpochID} {
		p := snapshot.Position(ahead)
		p.EpochID = founding
		if err := j.Append(p, [][]byte{entry}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if founding == "another" {
			n := f.node(copied(t, dir))
			eventually(t, "live with a journal of another founding", func() bool { return n.live() && n.Status().State == pb.Heartbeat_LIVE })
			n.stop()
		}
	}
	j.Close()
	n = f.node(dir)
	eventually(t, "a refusal of the older snapshot", func() bool { return strings.Contains(n.log.String(), "is older than the state at") })
	if s := n.Status(); s.State == pb.Heartbeat_LIVE || s.Position.Sequence != ahead.Sequence+1 || n.live() {
		t.Errorf("%+v, want what the journal leads to", s)
	}
}
