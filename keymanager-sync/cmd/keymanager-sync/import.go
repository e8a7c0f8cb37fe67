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
	"github.com/schollz/progressbar/v3"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/client"
)

// importFile applies a file of any size.
func importFile(ctx context.Context, p process) error {
	o := newOptions(p, "import", true)
	name := o.StringP("file", "f", "", "file with resources: a YAML stream, NDJSON or a JSON array; - reads standard input")
	id := o.String("id", "", "name of the import; with the name of one that broke off it goes on there (default: generated)")
	deploy := o.Bool("deploy", true, "put every Api that is touched in force")
	quiet := o.Bool("quiet", false, "show no progress")
	if err := o.parse(0, 0); err != nil {
		return err
	}
	if *name == "" {
		return &usageError{"no file"}
	}
	if *id == "" {
		*id = strings.ToLower(ulid.Make().String())
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	defer c.Close()
	source, size, err := openSource(p, *name)
	if err != nil {
		return err
	}
	bar := newBar(p.stderr, size, *quiet)
	last, err := c.Import(ctx, client.Import{
		ID: *id, File: *name, Open: source, Once: *name == "-", Deploy: *deploy, Write: o.write(),
		Report: bar.show,
		Lost: func(err error, again time.Duration) {
			_, _ = fmt.Fprintf(p.stderr, "\n%v; going on in %s\n", err, again.Round(100*time.Millisecond))
		},
	})
	bar.end()
	if err != nil {
		return fmt.Errorf("%w\nimport %s stopped after %d resources; what came before is in force (hint: mend the file and run the same import with --id %s)",
			err, *id, last.Resources, *id)
	}
	_, _ = fmt.Fprintf(p.stdout, "imported %d resources in %d chunks as %s, at sequence %d%s\n",
		last.Resources, last.Chunks, *id, last.Sequence, fleetText(last.Fleet))
	if last.Fleet != "" && !strings.HasPrefix(last.Fleet, "in_force") {
		return fmt.Errorf("the import is durable, but not in force on every node: %s", last.Fleet)
	}
	return nil
}

// openSource finds the size of a file, and how to read it from the start; -1: unknown.
func openSource(p process, name string) (open func() (io.ReadCloser, error), size int64, err error) {
	if name == "-" {
		return func() (io.ReadCloser, error) { return io.NopCloser(p.stdin), nil }, -1, nil
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

// bar shows progress: moving on a terminal, a line now and then elsewhere.
type bar struct {
	w    io.Writer
	bar  *progressbar.ProgressBar
	size int64
	told time.Time
}

const tellEvery = 5 * time.Second

func newBar(w io.Writer, size int64, quiet bool) *bar {
	if quiet {
		return &bar{w: io.Discard, told: time.Now()}
	}
	b := &bar{w: w, size: size, told: time.Now()}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			b.bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true),
				progressbar.OptionSetDescription("import"), progressbar.OptionThrottle(100*time.Millisecond))
		}
	}
	return b
}

func (b *bar) show(p client.Progress) {
	if b.bar != nil {
		b.bar.Describe(fmt.Sprintf("import, %d resources", p.Resources))
		_ = b.bar.Set64(min(p.Bytes, max(b.size, p.Bytes))) // a bar that cannot be drawn is no fault
		return
	}
	if time.Since(b.told) < tellEvery {
		return
	}
	b.told = time.Now()
	share := ""
	if b.size > 0 {
		const whole = 100
		share = fmt.Sprintf(", %d%%", p.Bytes*whole/b.size)
	}
	_, _ = fmt.Fprintf(b.w, "%d resources%s\n", p.Resources, share)
}

func (b *bar) end() {
	if b.bar != nil {
		_ = b.bar.Exit() // leaves it where it stopped
		_, _ = fmt.Fprintln(b.w)
	}
}
