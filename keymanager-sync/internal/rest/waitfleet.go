package rest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// The header Portcullis-Fleet gives the reasons of this many rejects, and this many
// bytes of each.
const (
	mostReasons   = 3
	longestReason = 200
)

// waitFleet waits until every live node has applied a change, and says where it is
// in force as the header Portcullis-Fleet does:
//
//	in_force; nodes=3
//	pending; applied=2; behind=gw-3
//	not_in_force; applied=2; failed=gw-3; reason="gw-3: plan/gold: …"
//
// Before the reason may stand, in this order: behind=, silent= (nodes of the fleet
// that are not heard, and may go on serving by what they had before) and duplicate= (ids that several processes use). notInForce:
// it is not known to be in force on every node of the fleet.
func (s *Server) waitFleet(ctx context.Context, timeout time.Duration, change fleet.Change) (text string, notInForce bool) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a := s.fleet.WaitApplied(limited, change)
	return fleetText(a, limited.Err() != nil)
}

// fleetText is the value of Portcullis-Fleet. late: the time was up.
func fleetText(a *fleet.Applied, late bool) (text string, notInForce bool) {
	failed, reason := failedNodes(a.Failed)
	parts := []string{"pending", fmt.Sprintf("applied=%d", len(a.Nodes)), failed, list("behind", a.Laggards)}
	switch {
	case len(a.Failed) > 0:
		parts[0] = "not_in_force"
	case !a.Everywhere():
	case late:
		// The time was up before the table of nodes was complete: no laggard is known, which proves nothing.
		parts = append(parts, "behind=unknown")
	case len(a.Silent) > 0:
		// A node that is not heard may go on serving by what it had before.
	default:
		parts = []string{"in_force", fmt.Sprintf("nodes=%d", len(a.Nodes))}
	}
	parts = append(parts, list("silent", a.Silent), list("duplicate", a.Duplicates), reason)
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return strings.Join(parts, "; "), parts[0] != "in_force"
}

func list(name string, ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return name + "=" + strings.Join(ids, ",")
}

// failedNodes are the nodes that could not put a change in force, and their reasons
// in a quoted string of ASCII.
func failedNodes(all []fleet.Failure) (failed, reason string) {
	if len(all) == 0 {
		return "", ""
	}
	var ids, reasons []string
	for _, f := range all {
		ids = append(ids, f.Node)
		for _, r := range f.Rejects {
			reasons = append(reasons, reasonOf(f.Node, r))
		}
	}
	if more := len(reasons) - mostReasons; more > 0 {
		reasons = append(reasons[:mostReasons], fmt.Sprintf("and %d more (hint: keymanager-sync fleet)", more))
	}
	return list("failed", ids), "reason=" + strconv.QuoteToASCII(strings.Join(reasons, " | "))
}

func reasonOf(node string, r *pb.Reject) string {
	text := node + ": " + r.GetReason()
	if r.GetId() != "" {
		text = node + ": " + rejectedName(r) + ": " + r.GetReason()
	}
	if len(text) > longestReason {
		text = strings.ToValidUTF8(text[:longestReason], "") + "..."
	}
	return text
}

// rejectedName is "plan/gold"; where this version does not know the kind, as the
// node names it.
func rejectedName(r *pb.Reject) string {
	ref := fleet.RefOf(r)
	if ref.Kind == pb.Kind_KIND_UNSPECIFIED {
		return r.GetKind() + "/" + r.GetId()
	}
	return ref.String()
}

// changeOf is what the fleet is asked about a write.
func changeOf(cmd command.Command, result ledger.Result) fleet.Change {
	if len(result.Changes) == 0 && !result.Repeated {
		return fleet.Change{Epoch: result.Epoch, Sequence: result.Sequence, Concerns: asked(cmd, result), Unchanged: true}
	}
	return fleet.Change{
		Epoch: result.Epoch, Sequence: result.Sequence, Concerns: concerns(nil, result),
	}
}

// asked are the resources that a command names, with what they are a part of.
func asked(cmd command.Command, result ledger.Result) []catalog.Ref {
	var named []*pb.Change
	name := func(ref catalog.Ref) { named = append(named, &pb.Change{Kind: ref.Kind, Id: ref.ID}) }
	switch c := cmd.(type) {
	case command.Apply:
		for _, r := range c.Resources {
			name(refOf(r))
		}
	case command.Replace:
		name(refOf(c.Resource))
	case command.Step:
		name(c.Ref)
	}
	return concerns(nil, ledger.Result{Changes: named, State: result.State})
}

// concerns adds the resources that a write is in force with: those it changed that
// nodes compile, and what they are a part of.
func concerns(all []catalog.Ref, result ledger.Result) []catalog.Ref {
	for _, c := range result.Changes {
		var kinds []pb.Kind
		id := c.GetId()
		switch c.GetKind() {
		case pb.Kind_KIND_API, pb.Kind_KIND_DEPLOYMENT:
			kinds = []pb.Kind{pb.Kind_KIND_API, pb.Kind_KIND_DEPLOYMENT}
		case pb.Kind_KIND_ISSUER, pb.Kind_KIND_KEY_SET:
			kinds = []pb.Kind{pb.Kind_KIND_ISSUER, pb.Kind_KIND_KEY_SET}
		case pb.Kind_KIND_PLAN:
			all = append(all, catalog.Ref{Kind: c.GetKind(), ID: id})
			plan, _ := catalog.Lookup[*pb.Plan](result.State, pb.Kind_KIND_PLAN, id)
			kinds, id = []pb.Kind{pb.Kind_KIND_API, pb.Kind_KIND_DEPLOYMENT}, plan.GetApi()
		default: // the others can be rejected at the change's own sequence only
			continue
		}
		for _, kind := range kinds {
			all = append(all, catalog.Ref{Kind: kind, ID: id})
		}
	}
	return all
}
