package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// SkewError says that live nodes would not understand a change: their program is
// older than what the change uses.
type SkewError struct {
	// Nodes that would not, with the version of the schema that each knows.
	Nodes []Knows
	// Needs are the resources that they would not understand.
	Needs []Needs
}

// Knows is a node and the version of the schema that it knows.
type Knows struct {
	Node   string
	Schema uint32
}

// Needs is a resource and what it needs of a reader.
type Needs struct {
	Ref catalog.Ref
	schema.Need
}

// Error names the nodes and what they would not understand.
func (e *SkewError) Error() string {
	const most = 5
	var nodes, needs []string
	for _, n := range e.Nodes[:min(len(e.Nodes), most)] {
		nodes = append(nodes, fmt.Sprintf("node %s knows schema %d", n.Node, n.Schema))
	}
	if more := len(e.Nodes) - most; more > 0 {
		nodes = append(nodes, fmt.Sprintf("and %d more nodes know no later one", more))
	}
	for _, n := range e.Needs[:min(len(e.Needs), most)] {
		uses := ""
		if n.Path != "" {
			uses = " uses " + n.Path + ", which"
		}
		needs = append(needs, fmt.Sprintf("%s%s needs %d", n.Ref, uses, n.Version))
	}
	if more := len(e.Needs) - most; more > 0 {
		needs = append(needs, fmt.Sprintf("and %d more resources", more))
	}
	return strings.Join(nodes, ", ") + "; " + strings.Join(needs, ", ") +
		" (hint: upgrade these nodes first; or let the change through with allow_skew=true, --allow-skew on the command line: such a node answers 503 for the Apis concerned)"
}

// Understands returns a *SkewError if a live node would not understand some of the
// changes. Just after a start, when not every node can have been heard, those that
// are recorded as members count, too.
func (f *Fleet) Understands(changes []*pb.Change) error {
	known := f.schemas(time.Now())
	oldest := pb.SchemaVersion
	for _, k := range known {
		oldest = min(oldest, k.Schema)
	}
	if oldest >= pb.SchemaVersion {
		return nil
	}
	skew := &SkewError{}
	highest := uint32(0)
	for _, c := range changes {
		if need := requires(c); need.Version > oldest {
			skew.Needs = append(skew.Needs, Needs{catalog.Ref{Kind: c.GetKind(), ID: c.GetId()}, need})
			highest = max(highest, need.Version)
		}
	}
	if len(skew.Needs) == 0 {
		return nil
	}
	for _, k := range known {
		if k.Schema < highest {
			skew.Nodes = append(skew.Nodes, k)
		}
	}
	slices.SortFunc(skew.Nodes, func(a, b Knows) int { return strings.Compare(a.Node, b.Node) })
	return skew
}

// requires is what a reader of a change must know. A removal is understood by its
// envelope, and nodes decide nothing by members.
func requires(c *pb.Change) schema.Need {
	none := schema.Need{Version: 1}
	m := catalog.New(c.GetKind())
	if c.GetRemoved() || c.GetKind() == pb.Kind_KIND_MEMBER || m == nil || proto.Unmarshal(c.GetResource(), m) != nil {
		return none
	}
	need := schema.Requires(m)
	if kind := schema.KindRequires(c.GetKind()); kind > need.Version {
		return schema.Need{Version: kind}
	}
	return need
}

// schemas are what the nodes know that count.
func (f *Fleet) schemas(now time.Time) (all []Knows) {
	state := f.cfg.Store.State()
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, n := range f.nodes {
		if now.Sub(n.Seen) >= LiveFor {
			continue
		}
		oldest := n.Schema()
		for _, p := range n.processes {
			if now.Sub(p.seen) < LiveFor {
				oldest = min(oldest, Node{Heartbeat: p.beat}.Schema())
			}
		}
		all = append(all, Knows{id, oldest})
	}
	if f.since.IsZero() || now.Sub(f.since) < settleTime {
		for _, n := range f.absent(state) {
			all = append(all, Knows{n.Heartbeat.GetNode(), n.Schema()})
		}
	}
	return all
}
