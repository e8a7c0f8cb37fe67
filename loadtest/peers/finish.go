//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/report"
)

// finish prints and saves; what failed in part is not written about.
func (s *stage) finish(ctx context.Context, whole bool) error {
	whole = whole && s.whole()
	fmt.Fprintln(s.stdout, figures.Table(s.results))
	file := s.out
	switch {
	case file != "":
	case whole:
		file = filepath.Join(s.cache, "results.json")
	default:
		file = filepath.Join(s.cache, "last.json")
	}
	if err := s.results.Save(file); err != nil {
		return err
	}
	s.say("saved in %s", file)
	if whole && s.out == "" {
		if err := writeReport(ctx, nil, s.stdout); err != nil {
			return err
		}
		s.say("written about in docs/performance.md")
	}
	if s.strict && figures.Missed(s.results) {
		return errMissed
	}
	return nil
}

// writeReport writes docs/performance.md.
func writeReport(ctx context.Context, args []string, stdout io.Writer) error {
	f := pflag.NewFlagSet("peers report", pflag.ContinueOnError)
	f.SetOutput(stdout)
	from := f.String("results", "", "results to write about (default: .task/peers/results.json, of the last full run)")
	to := f.String("docs", "", "folder to write to (default: docs)")
	if err := f.Parse(args); err != nil {
		return err
	}
	root, err := cluster.SourceTree(ctx)
	if err != nil {
		return err
	}
	file, docs := *from, *to
	if file == "" {
		file = filepath.Join(root, ".task", "peers", "results.json")
	}
	if docs == "" {
		docs = filepath.Join(root, "docs")
	}
	r, err := figures.Load(file)
	if err != nil {
		return fmt.Errorf("%w (hint: go tool task bench:peers)", err)
	}
	page, err := report.Page(r)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "performance.md"), []byte(page), 0o644) //nolint:gosec // a public page
}
