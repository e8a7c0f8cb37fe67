package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/cli"
)

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

// fleet shows the nodes.
type fleet struct {
	connection
	cli.Output
}

func (f *fleet) Run(ctx context.Context, call *cli.Call) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.Fleet(ctx)
	if err != nil {
		return err
	}
	if f.JSON() {
		_, err := call.Stdout.Write(answer.Body)
		return err
	}
	var fleet fleetAnswer
	if err := json.Unmarshal(answer.Body, &fleet); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return fleet.table(call.Stdout)
}

func (f fleetAnswer) table(out io.Writer) error {
	_, _ = fmt.Fprintln(out, strings.TrimSpace(fmt.Sprintf("epoch %d, sequence %d, %s %s", f.Epoch, f.Sequence, f.Phase, f.Reason))+"\n")
	replicas := cli.NewTable("REPLICA", "LIVE", "SEQUENCE", "REMARKS")
	for _, r := range f.Replicas {
		var remarks []string
		if r.Self {
			remarks = append(remarks, "answers this")
		}
		if r.Diverged {
			remarks = append(remarks, "DIVERGED")
		}
		if r.Live && !r.Writable {
			remarks = append(remarks, "cannot write")
		}
		replicas.Row(r.ID, yesNo(r.Live), number(r.Sequence), strings.Join(remarks, ", "))
	}
	if err := replicas.Write(out); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out)
	if err := f.nodes().Write(out); err != nil {
		return err
	}
	return f.rejects(out)
}

func (f fleetAnswer) nodes() *cli.Table {
	nodes := cli.NewTable("NODE", "LIVE", "STATE", "SEQUENCE", "BEHIND", "REQUESTS", "DENIALS", "VERSION", "REMARKS")
	for _, n := range f.Nodes {
		var remarks []string
		if n.OtherEpoch {
			remarks = append(remarks, "another epoch")
		}
		if n.Duplicate {
			remarks = append(remarks, "SEVERAL PROCESSES WITH THIS ID")
		}
		if len(n.Rejects) > 0 {
			remarks = append(remarks, fmt.Sprintf("%d resources NOT IN FORCE", n.RejectCount))
		}
		nodes.Row(n.ID, yesNo(n.Live), n.State, number(n.Sequence), number(n.Lag), number(n.Requests), number(n.Denials), n.Version,
			strings.Join(remarks, ", "))
	}
	return nodes
}

// rejects lists what is not in force, with the whole reason beneath.
func (f fleetAnswer) rejects(out io.Writer) error {
	var b strings.Builder
	for _, n := range f.Nodes {
		for _, r := range n.Rejects {
			kind := strings.ToLower(strings.TrimPrefix(r.Kind, "KIND_"))
			reason := strings.Join(strings.Fields(r.Reason), " ")
			fmt.Fprintf(&b, "\nNOT IN FORCE on %s since sequence %d: %s/%s\n  %s\n", n.ID, r.Sequence, kind, r.ID, cli.Printable(reason))
		}
		if more := n.RejectCount - len(n.Rejects); more > 0 {
			fmt.Fprintf(&b, "\nand %d more on %s\n", more, n.ID)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
