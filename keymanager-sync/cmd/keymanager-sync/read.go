package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v4"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/client"
)

// get reads resources.
func get(ctx context.Context, p process) error {
	o := newOptions(p, "get", false)
	format := o.StringP("output", "o", "yaml", "yaml, or json: one resource per line")
	filters := o.StringArray("filter", nil, "only resources with name=value, as in api=orders; may be repeated")
	if err := o.parse(1, 2); err != nil {
		return err
	}
	kind, err := collection(o.Arg(0))
	if err != nil {
		return err
	}
	if *format != "yaml" && *format != "json" {
		return &usageError{fmt.Sprintf("--output %q is neither yaml nor json", *format)}
	}
	if len(*filters) > 0 && o.NArg() == 2 {
		return &usageError{"--filter is for collections"}
	}
	query, err := parseFilters(*filters)
	if err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	defer c.Close()
	out := bufio.NewWriter(p.stdout)
	show := &shower{w: out, yaml: *format == "yaml"}
	if o.NArg() == 2 {
		err = show.one(ctx, c, kind, o.Arg(1))
	} else {
		err = show.all(ctx, c, kind, query)
	}
	// What was read before a fault is still true.
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	return err
}

func parseFilters(list []string) (url.Values, error) {
	query := url.Values{}
	for _, f := range list {
		name, value, ok := strings.Cut(f, "=")
		if !ok || name == "" {
			return nil, &usageError{fmt.Sprintf("--filter %q is not name=value", f)}
		}
		query.Add(name, value)
	}
	return query, nil
}

// shower writes resources one after the other.
type shower struct {
	w    io.Writer
	yaml bool
	any  bool
}

func (s *shower) one(ctx context.Context, c *client.Client, kind, id string) error {
	answer, err := c.Get(ctx, kind, id)
	if err != nil {
		return err
	}
	return s.resource(answer.Body)
}

func (s *shower) all(ctx context.Context, c *client.Client, kind string, query url.Values) error {
	for item, err := range c.List(ctx, kind, query) {
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
	if !s.yaml {
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

// fleetAnswer is what GET /v1/fleet answers, as far as people read it.
type fleetAnswer struct {
	Epoch    uint64 `json:"epoch"`
	Sequence uint64 `json:"sequence"`
	Phase    string `json:"phase"`
	Reason   string `json:"reason"`
	Nodes    []struct {
		ID         string `json:"id"`
		Version    string `json:"version"`
		Live       bool   `json:"live"`
		State      string `json:"state"`
		Sequence   uint64 `json:"sequence"`
		Lag        uint64 `json:"lag"`
		OtherEpoch bool   `json:"other_epoch"`
		Duplicate  bool   `json:"duplicate"`
		Requests   uint64 `json:"requests"`
		Denials    uint64 `json:"denials"`
		Rejects    []struct {
			Kind     string `json:"kind"`
			ID       string `json:"id"`
			Sequence uint64 `json:"sequence"`
			Reason   string `json:"reason"`
		} `json:"rejects"`
		RejectCount int `json:"reject_count"`
	} `json:"nodes"`
	Replicas []struct {
		ID       string `json:"id"`
		Live     bool   `json:"live"`
		Self     bool   `json:"self"`
		Diverged bool   `json:"diverged"`
		Writable bool   `json:"writable"`
		Sequence uint64 `json:"sequence"`
	} `json:"replicas"`
}

// showFleet shows the nodes.
func showFleet(ctx context.Context, p process) error {
	o := newOptions(p, "fleet", false)
	format := o.StringP("output", "o", "table", "table or json")
	if err := o.parse(0, 0); err != nil {
		return err
	}
	if *format != "table" && *format != "json" {
		return &usageError{fmt.Sprintf("--output %q is neither table nor json", *format)}
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.Fleet(ctx)
	if err != nil {
		return err
	}
	if *format == "json" {
		_, err := p.stdout.Write(answer.Body)
		return err
	}
	var fleet fleetAnswer
	if err := json.Unmarshal(answer.Body, &fleet); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return fleet.table(p.stdout)
}

func (f fleetAnswer) table(out io.Writer) error {
	_, _ = fmt.Fprintf(out, "epoch %d, sequence %d, %s %s\n", f.Epoch, f.Sequence, f.Phase, f.Reason)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nREPLICA\tLIVE\tSEQUENCE\tREMARKS")
	for _, r := range f.Replicas {
		remarks := ""
		if r.Self {
			remarks = "answers this"
		}
		if r.Diverged {
			remarks += " DIVERGED"
		}
		if r.Live && !r.Writable {
			remarks += " cannot write"
		}
		_, _ = fmt.Fprintf(w, "%s\t%t\t%d\t%s\n", r.ID, r.Live, r.Sequence, remarks)
	}
	_, _ = fmt.Fprintln(w, "\nNODE\tLIVE\tSTATE\tSEQUENCE\tBEHIND\tREQUESTS\tDENIALS\tVERSION\tREMARKS")
	for _, n := range f.Nodes {
		remarks := ""
		if n.OtherEpoch {
			remarks = "another epoch"
		}
		if n.Duplicate {
			remarks += " SEVERAL PROCESSES WITH THIS ID"
		}
		if len(n.Rejects) > 0 {
			remarks += fmt.Sprintf(" %d resources NOT IN FORCE", n.RejectCount)
		}
		_, _ = fmt.Fprintf(w, "%s\t%t\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n",
			n.ID, n.Live, n.State, n.Sequence, n.Lag, n.Requests, n.Denials, n.Version, remarks)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.rejects(out)
}

// rejects lists what is not in force, and why.
func (f fleetAnswer) rejects(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	shown := false
	for _, n := range f.Nodes {
		for _, r := range n.Rejects {
			if !shown {
				_, _ = fmt.Fprintln(w, "\nNOT IN FORCE ON\tRESOURCE\tSINCE SEQUENCE\tREASON")
				shown = true
			}
			name := strings.ToLower(strings.TrimPrefix(r.Kind, "KIND_"))
			_, _ = fmt.Fprintf(w, "%s\t%s/%s\t%d\t%s\n", n.ID, name, r.ID, r.Sequence, strings.Join(strings.Fields(r.Reason), " "))
		}
		if more := n.RejectCount - len(n.Rejects); more > 0 {
			_, _ = fmt.Fprintf(w, "%s\tand %d more\n", n.ID, more)
		}
	}
	return w.Flush()
}
