package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/shared/cli"
)

// importing applies a file of any size: the verb import.
type importing struct {
	writing
	File   string `setting:"file" short:"f" use:"flag" check:"input" value:"file" help:"file with resources: a YAML stream, NDJSON or a JSON array; - reads standard input"`
	ID     string `setting:"id" use:"flag" help:"name of the import; with the name of one that broke off it goes on there (default: generated)"`
	Deploy bool   `setting:"deploy" use:"flag" help:"put every Api that is touched in force"`
	Quiet  bool   `setting:"quiet" use:"flag" help:"show no progress"`
}

// imported is what import prints with -o json: stable names.
type imported struct {
	ID        string `json:"id"`
	Resources int    `json:"resources"`
	Chunks    int    `json:"chunks"`
	Sequence  uint64 `json:"sequence"`
	Fleet     string `json:"fleet,omitempty"`
	Pending   bool   `json:"pending,omitempty"`
}

func (im *importing) Run(ctx context.Context, call *cli.Call) error {
	if im.File == "" {
		return cli.Misused("no file (hint: -f FILE, or -f - for standard input)")
	}
	if im.ID == "" {
		im.ID = strings.ToLower(ulid.Make().String())
	}
	c, err := im.client()
	if err != nil {
		return err
	}
	defer c.Close()
	source, size, err := openSource(call, im.File)
	if err != nil {
		return err
	}
	shown := newProgress(call.Stderr, size, im.Quiet)
	last, err := c.Import(ctx, api.Import{
		ID: im.ID, File: im.File, Open: source, Once: im.File == "-", NoDeploy: !im.Deploy, Write: im.write(),
		Report: shown.show,
		Lost: func(err error, again time.Duration) {
			shown.end()
			_, _ = fmt.Fprintf(call.Stderr, "%v; going on in %s\n", err, again.Round(100*time.Millisecond))
		},
	})
	shown.end()
	if err != nil {
		return fmt.Errorf("%w\nimport %s stopped after %d resources; what came before is in force (hint: correct the file and run the same import with --id %s)",
			err, im.ID, last.Resources, im.ID)
	}
	result := imported{
		ID: im.ID, Resources: last.Resources, Chunks: last.Chunks, Sequence: last.Sequence, Fleet: last.Fleet,
		Pending: last.Fleet != "" && !strings.HasPrefix(last.Fleet, "in_force"),
	}
	return errors.Join(im.print(call, result), pending("import", result.Pending, last.Fleet))
}

func (im *importing) print(call *cli.Call, r imported) error {
	if im.JSON() {
		return cli.WriteJSON(call.Stdout, r)
	}
	_, err := fmt.Fprintf(call.Stdout, "imported %d resources in %d chunks as %s, at sequence %d%s\n",
		r.Resources, r.Chunks, r.ID, r.Sequence, fleetText(r.Fleet))
	return err
}

// openSource finds the size of a file, and how to read it from the start; -1: unknown.
func openSource(call *cli.Call, name string) (open func() (io.ReadCloser, error), size int64, err error) {
	if name == "-" {
		return func() (io.ReadCloser, error) { return io.NopCloser(call.Stdin), nil }, -1, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, errors.Unwrap(err))
	}
	if info.IsDir() {
		return nil, 0, fmt.Errorf("%s is a folder, not a file", name)
	}
	return func() (io.ReadCloser, error) { return os.Open(name) }, info.Size(), nil
}

// progress shows how far an import is: on a terminal one line that changes, else a
// line now and then.
type progress struct {
	w        io.Writer
	size     int64 // of the file, in bytes; below 1: unknown
	terminal bool
	shown    time.Time // when a line was written last
	open     bool      // the terminal's line is not ended yet
}

// Least times between lines.
const (
	onTerminal = 100 * time.Millisecond
	elsewhere  = 5 * time.Second
)

func newProgress(w io.Writer, size int64, quiet bool) *progress {
	if quiet {
		w = io.Discard
	}
	p := &progress{w: w, size: size, shown: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progress) show(at api.Progress) {
	pause := elsewhere
	if p.terminal {
		pause = onTerminal
	}
	if time.Since(p.shown) < pause {
		return
	}
	p.shown = time.Now()
	share := ""
	if p.size > 0 {
		const whole = 100
		share = fmt.Sprintf(", %d%%", at.Bytes*whole/p.size)
	}
	if !p.terminal {
		_, _ = fmt.Fprintf(p.w, "%d resources%s\n", at.Resources, share)
		return
	}
	const eraseLine = "\r\x1b[K"
	_, _ = fmt.Fprintf(p.w, eraseLine+"%d resources%s", at.Resources, share)
	p.open = true
}

// end leaves the terminal's line as it is and begins a new one.
func (p *progress) end() {
	if p.open {
		_, _ = fmt.Fprintln(p.w)
		p.open = false
	}
}
