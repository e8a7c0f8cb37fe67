package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/shared/cli"
)

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
	if f.JSON() {
		text, err := c.FleetJSON(ctx)
		if err != nil {
			return err
		}
		_, err = call.Stdout.Write(text)
		return err
	}
	fleet, err := c.Fleet(ctx)
	if err != nil {
		return err
	}
	return showFleet(call.Stdout, fleet)
}

func showFleet(out io.Writer, f api.Fleet) error {
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
	if err := nodesOf(f).Write(out); err != nil {
		return err
	}
	return showRejects(out, f)
}

func nodesOf(f api.Fleet) *cli.Table {
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
func showRejects(out io.Writer, f api.Fleet) error {
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
