package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

const (
	// Editors write a file in several steps; a change is read when it has been
	// quiet for this long, or at last after settleMost: other files of the
	// directory, such as a log, may never be quiet.
	settle     = 50 * time.Millisecond
	settleMost = 500 * time.Millisecond
	// Some file systems report no changes, so the files are also read this often.
	lookEvery = 2 * time.Second

	// A node is not ready before the key set of each issuer was fetched or could not be,
	// but waits for that no longer than this.
	firstKeysWithin = 5 * time.Second
	firstKeysEvery  = 10 * time.Millisecond
)

// watchFiles serves from files. They must be right at the start; later a bad
// edit is reported and the old state stays.
func (f *Feed) watchFiles(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch resource files: %w", err)
	}
	defer watcher.Close()
	for _, dir := range directories(f.cfg.Resources) {
		// Directories, because editors and Kubernetes replace files by renaming.
		if err := watcher.Add(dir); err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	var files reading
	if err := f.readFiles(ctx, &files); err != nil {
		return err
	}
	f.awaitKeys(ctx)
	f.status.set(pb.Heartbeat_LIVE)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case err := <-watcher.Errors:
			f.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "resource files are looked at by time only", slog.Any("error", err))
		case <-watcher.Events:
			if !quiet(ctx, watcher) {
				return nil
			}
		}
		if err := f.readFiles(ctx, &files); err != nil {
			f.cfg.Metrics.badFiles.Inc()
			f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "resource files are refused, the old state stays", slog.Any("error", err))
		}
	}
}

// awaitKeys waits until it is known of each issuer whether its keys can be had, within
// bounds: who sends requests to a node because it is ready must not be told that keys
// are missing which are on their way.
func (f *Feed) awaitKeys(ctx context.Context) {
	for end := time.Now().Add(firstKeysWithin); ; {
		missing := f.fetcher.Untried()
		if len(missing) == 0 {
			return
		}
		if time.Now().After(end) {
			f.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "ready without the keys of some issuers: their tokens are answered with 503 until the keys are there",
				slog.Any("issuers", missing))
			return
		}
		if !sleep(ctx, firstKeysEvery) {
			return
		}
	}
}

// quiet waits until no more events come, within bounds. It is false if ctx ended.
func quiet(ctx context.Context, w *fsnotify.Watcher) bool {
	most := time.After(settleMost)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-most:
			return true
		case <-w.Events:
		case <-time.After(settle):
			return true
		}
	}
}

func directories(files []string) []string {
	var dirs []string
	for _, f := range files {
		if d := filepath.Dir(f); !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// reading is what was read of the files.
type reading struct {
	contents []string // as they were looked at last, so that a bad edit is reported once
	inForce  []int    // how many resources each of them had when they were put in force last
}

// readFiles installs what the files say, if it differs from what was read last.
func (f *Feed) readFiles(ctx context.Context, read *reading) error {
	contents, err := f.settled(ctx, read.contents)
	if err != nil || slices.Equal(contents, read.contents) {
		return err
	}
	read.contents = contents
	docs, counts, err := decodeFiles(f.cfg.Resources, contents)
	if err != nil {
		return err
	}
	if faults := emptied(f.cfg.Resources, contents, counts, read.inForce); len(faults) > 0 {
		return faults
	}
	s, err := stateOf(docs, f.current())
	if err != nil {
		return err
	}
	// Every reading gets the next sequence, as if it were an entry of a log.
	p := catalog.Position{Sequence: 1}
	if old := f.current(); old != nil {
		p.Sequence = old.Position().Sequence + 1
	}
	if err := f.install(s.At(p)); err != nil {
		return err
	}
	read.inForce = counts
	f.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "resource files are in force",
		slog.Any("files", f.cfg.Resources), slog.Any("resources", s.Counts()))
	return nil
}

// emptied refuses files that had resources and are empty now, and files that have none
// any more in all of them: who writes a file empties it before, for any length of time,
// and a full disk leaves it so. counts and before are the resources of each file.
func emptied(files, contents []string, counts, before []int) fault.List {
	var faults fault.List
	had, has := false, false
	for i, n := range before {
		had, has = had || n > 0, has || counts[i] > 0
		if n > 0 && strings.TrimSpace(contents[i]) == "" {
			faults = append(faults, fault.Fault{
				File: files[i], Message: "the file had resources and is empty now",
				Hint: "a file that shall have none, beside others, needs a comment such as # none; to serve nothing, stop the gateway",
			})
		}
	}
	if had && !has && len(faults) == 0 {
		faults = fault.List{{File: files[0], Message: "there were resources, and there are none any more", Hint: "to serve nothing, stop the gateway"}}
	}
	return faults
}

// settled reads the files, and after an edit again until two readings agree:
// many an editor writes a file in pieces. What does not settle is left for the next look.
func (f *Feed) settled(ctx context.Context, last []string) ([]string, error) {
	contents, err := f.contents()
	if err != nil || last == nil || slices.Equal(contents, last) {
		return contents, err
	}
	for end := time.Now().Add(settleMost); time.Now().Before(end) && sleep(ctx, settle); {
		again, err := f.contents()
		if err != nil || slices.Equal(again, contents) {
			return again, err
		}
		contents = again
	}
	return last, nil
}

// CheckFiles reports what is wrong with resource files, all of it at once, as a node
// would that starts from them.
func CheckFiles(files []string) error {
	contents, err := readFiles(files)
	if err != nil {
		return err
	}
	docs, _, err := decodeFiles(files, contents)
	if err != nil {
		return err
	}
	_, err = stateOf(docs, nil)
	return err
}

func (f *Feed) contents() ([]string, error) { return readFiles(f.cfg.Resources) }

func readFiles(files []string) ([]string, error) {
	contents := make([]string, len(files))
	for i, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read resources: %w", err)
		}
		contents[i] = string(b)
	}
	return contents, nil
}

// decodeFiles reads the resources of all files, and how many each of them has.
func decodeFiles(files, contents []string) (docs []resource.Document, counts []int, err error) {
	var faults []error
	counts = make([]int, len(files))
	for i, file := range files {
		d, err := resource.DecodeYAML(file, []byte(contents[i]))
		if err != nil {
			faults = append(faults, err)
		}
		docs = append(docs, d...)
		counts[i] = len(d)
	}
	return docs, counts, errors.Join(faults...)
}

func stateOf(docs []resource.Document, last *catalog.State) (*catalog.State, error) {
	all := make([]catalog.Resource, len(docs))
	for i, d := range docs {
		all[i] = d.Resource
	}
	s, err := rules.FromResources(all, last, time.Now())
	if faults, ok := errors.AsType[fault.List](err); ok {
		return nil, resource.Locate(docs, faults)
	}
	return s, err
}
