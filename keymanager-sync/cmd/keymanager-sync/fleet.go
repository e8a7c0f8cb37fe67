package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/shared/cli"
)

// fleet shows the nodes, or takes one out of the fleet.
type fleet struct{ writing }

func (f *fleet) Run(ctx context.Context, call *cli.Call) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if args := call.Args; len(args) > 0 {
		return f.remove(ctx, call, c)
	}
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

// remove takes a silent node out of the fleet.
func (f *fleet) remove(ctx context.Context, call *cli.Call, c *api.Client) error {
	if len(call.Args) != 2 || call.Args[0] != "remove" {
		return cli.Misused("fleet takes nothing, or remove and a node (hint: keymanager-sync fleet remove NODE)")
	}
	outcome, err := c.RemoveNode(ctx, call.Args[1], f.write())
	if err != nil {
		return err
	}
	return f.report(call, "removed", "fleet/"+call.Args[1], outcome)
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
		if !n.Live {
			remarks = append(remarks, "SILENT for "+(time.Duration(n.SilentSeconds)*time.Second).String())
		}
		if n.Unheard {
			remarks = append(remarks, "as recorded")
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
			since := "before its start"
			if r.Sequence > 0 {
				since = fmt.Sprintf("sequence %d", r.Sequence)
			}
			fmt.Fprintf(&b, "\nNOT IN FORCE on %s since %s: %s/%s\n  %s\n", n.ID, since, kind, r.ID, cli.Printable(reason))
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
