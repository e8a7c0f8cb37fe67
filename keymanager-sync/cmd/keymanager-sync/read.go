package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/cli"
)

// get reads resources.
type get struct {
	connection
	Format string   `setting:"output" short:"o" use:"flag" value:"format" enum:"table,yaml,json" help:"table, yaml, or json: one resource per line (default yaml for one resource, table for a collection)"`
	Filter []string `setting:"filter" use:"flag" elements:"whole" value:"name=value" help:"only resources with this value, as in api=orders; may be repeated"`
}

func (g *get) Run(ctx context.Context, call *cli.Call) error {
	kind, err := collection(call.Args[0])
	if err != nil {
		return err
	}
	one := len(call.Args) > 1
	if len(g.Filter) > 0 && one {
		return cli.Misused("--filter is for collections")
	}
	filters, err := parseFilters(g.Filter)
	if err != nil {
		return err
	}
	c, err := g.client()
	if err != nil {
		return err
	}
	defer c.Close()
	out := bufio.NewWriter(call.Stdout)
	show := newShower(out, g.format(one), catalog.Collection(kind))
	if one {
		err = show.one(ctx, c.All(kind), call.Args[1])
	} else {
		err = show.all(ctx, c.All(kind), filters)
	}
	if err == nil && !show.any {
		_, _ = fmt.Fprintln(call.Stderr, "nothing found")
	}
	// What was read before a fault is still true.
	return errors.Join(err, show.end(), out.Flush())
}

func (g *get) format(one bool) string {
	switch {
	case g.Format != "":
		return g.Format
	case one:
		return "yaml"
	}
	return cli.Text
}

func parseFilters(list []string) (api.Filters, error) {
	filters := api.Filters{}
	for _, f := range list {
		name, value, ok := strings.Cut(f, "=")
		if !ok || name == "" {
			return nil, cli.Misused("--filter %q is not name=value", f)
		}
		if _, again := filters[name]; again {
			return nil, cli.Misused("--filter %s is given twice", name)
		}
		filters[name] = value
	}
	return filters, nil
}

// shower writes resources one after the other.
type shower struct {
	w      io.Writer
	format string
	table  *table // of the format table
	any    bool
}

func newShower(w io.Writer, format, kind string) *shower {
	return &shower{w: w, format: format, table: newTable(kind)}
}

// end writes what was held back.
func (s *shower) end() error {
	if s.format != cli.Text || !s.any {
		return nil
	}
	return s.table.Write(s.w)
}

func (s *shower) one(ctx context.Context, from api.Collection[catalog.Resource], id string) error {
	text, _, err := from.GetJSON(ctx, id)
	if err != nil {
		return err
	}
	return s.resource(text)
}

func (s *shower) all(ctx context.Context, from api.Collection[catalog.Resource], filters api.Filters) error {
	for item, err := range from.ListJSON(ctx, filters) {
		if err != nil {
			return err
		}
		if err := s.resource(item); err != nil {
			return err
		}
	}
	return nil
}

func (s *shower) resource(text []byte) error {
	switch s.format {
	case cli.Text:
		s.any = true
		return s.table.add(text)
	case cli.JSON:
		s.any = true
		_, err := fmt.Fprintf(s.w, "%s\n", bytes.TrimSpace(text))
		return err
	}
	// JSON is YAML; only its looks change.
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	plain(&doc)
	shown, err := yaml.Dump(&doc, yaml.WithLineWidth(-1), yaml.WithIndent(2))
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	if s.any {
		if _, err := io.WriteString(s.w, "---\n"); err != nil {
			return err
		}
	}
	s.any = true
	_, err = s.w.Write(shown)
	return err
}

// plain takes the brackets and quotes of JSON off a document.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
}
