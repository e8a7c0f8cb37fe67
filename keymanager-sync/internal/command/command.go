// Package command holds what can be asked of the control plane, and decides it.
//
// A Command is a value; Decide turns it, against one State, into the changes
// that carry it out, or into the reasons why not. Decide is pure: the time is a
// parameter, and nothing is read or written. So the same command can be decided
// again when another replica was faster, and a dry run is a decision that
// nothing is appended. All rules are in shared/rules; here is only the shape of
// what is asked.
package command

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// Command is one request to change the state: Create, Replace, Remove, Step,
// Apply, Import, PutKeySet, Sweep, CloseOrphans or Members.
type Command interface {
	// String says what is asked, for the audit in the log: "pause subscription/mobile-orders".
	String() string
	// condition is what the caller asks of a resource's present version.
	condition() (catalog.Ref, Precondition)
	// propose writes the wanted changes into a draft against s.
	propose(s *catalog.State, d *rules.Draft)
}

// unconditional commands ask nothing of present versions.
type unconditional struct{}

func (unconditional) condition() (catalog.Ref, Precondition) { return catalog.Ref{}, Precondition{} }

// Create makes a resource that must not exist yet.
type Create struct {
	unconditional

	Resource catalog.Resource
}

// Replace makes a resource or replaces its whole definition.
type Replace struct {
	Resource catalog.Resource
	If       Precondition
}

// Remove removes a resource; with Cascade also what refers to it.
type Remove struct {
	Ref     catalog.Ref
	Cascade bool
	If      Precondition
}

// Step moves a resource along its lifecycle: publish, deprecate, close, deploy,
// start, stop, unpublish, rollback, accept, reject, pause, resume.
type Step struct {
	Ref  catalog.Ref
	Verb string
	// Revision is the one to roll back to; 0: the previous. Read for rollback only.
	Revision uint64
	If       Precondition
}

// Apply is declarative: the resources shall be as given, all or none.
type Apply struct {
	unconditional

	Resources []catalog.Resource
	// Deploy puts every Api that is touched in force.
	Deploy bool
}

// Import is one chunk of an import: as Apply, with another name in the audit.
type Import struct {
	unconditional

	// Name of the import, chosen by who runs it.
	Name string
	// Chunk counts from 1.
	Chunk     int
	Resources []catalog.Resource
	Deploy    bool
}

// Sweep removes the revocations that have outlived every token they concern.
// Ids that are gone already, or do not end by Before, are left alone.
type Sweep struct {
	unconditional

	Revocations []string
	// Before is compared with each revocation's expires_at.
	Before time.Time
}

// CloseOrphans closes open subscriptions of plans that are closed: those that
// were too many to be closed together with the plan. Others are left alone.
type CloseOrphans struct {
	unconditional

	Subscriptions []string
}

// Decide finds the changes that carry cmd out against s. No changes: there is
// nothing to do. The error is fault.List, or a *PreconditionError.
func Decide(s *catalog.State, cmd Command, now time.Time) (*rules.Proposal, error) {
	ref, condition := cmd.condition()
	if err := condition.check(s, ref); err != nil {
		return nil, err
	}
	d := rules.NewDraft(s, now)
	cmd.propose(s, d)
	return d.Finish()
}

func (c Create) String() string {
	return "create " + refOf(c.Resource).String() + " " + digest(c.Resource)
}

func (c Create) propose(_ *catalog.State, d *rules.Draft) {
	d.Create(c.Resource)
}

func (c Replace) String() string {
	return "replace " + refOf(c.Resource).String() + " " + digest(c.Resource)
}

func (c Replace) condition() (catalog.Ref, Precondition) { return refOf(c.Resource), c.If }

func (c Replace) propose(_ *catalog.State, d *rules.Draft) {
	d.Replace(c.Resource)
}

func (c Remove) String() string {
	if c.Cascade {
		return "remove " + c.Ref.String() + " and what refers to it"
	}
	return "remove " + c.Ref.String()
}

func (c Remove) condition() (catalog.Ref, Precondition) { return c.Ref, c.If }

func (c Remove) propose(_ *catalog.State, d *rules.Draft) {
	d.Remove(c.Ref, c.Cascade)
}

func (c Step) String() string { return c.Verb + " " + c.Ref.String() }

func (c Step) condition() (catalog.Ref, Precondition) { return c.Ref, c.If }

func (c Step) propose(_ *catalog.State, d *rules.Draft) {
	d.Step(c.Ref, c.Verb, c.Revision)
}

func (c Apply) String() string {
	return fmt.Sprintf("apply %d resources %s", len(c.Resources), digest(c.Resources...))
}

// digest distinguishes contents, so that an idempotency key which comes
// again with another body is noticed.
func digest(resources ...catalog.Resource) string {
	h := sha256.New()
	for _, r := range resources {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
		if err != nil {
			return "of what cannot be encoded" // refused when it is decided
		}
		_ = binary.Write(h, binary.BigEndian, uint64(len(b))) // a hash takes everything
		_, _ = h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (c Apply) propose(_ *catalog.State, d *rules.Draft) {
	applyAll(d, c.Resources, c.Deploy)
}

func (c Import) String() string {
	return fmt.Sprintf("import %q chunk %d: %d resources", c.Name, c.Chunk, len(c.Resources))
}

func (c Import) propose(_ *catalog.State, d *rules.Draft) {
	applyAll(d, c.Resources, c.Deploy)
}

func applyAll(d *rules.Draft, resources []catalog.Resource, deploy bool) {
	for _, r := range resources {
		d.Apply(r)
	}
	if deploy {
		d.DeployTouched()
	}
}

func (c Sweep) String() string {
	return fmt.Sprintf("sweep %d expired revocations", len(c.Revocations))
}

func (c Sweep) propose(s *catalog.State, d *rules.Draft) {
	for _, id := range c.Revocations {
		r, ok := catalog.Lookup[*pb.Revocation](s, pb.Kind_KIND_REVOCATION, id)
		if ok && Expired(r, c.Before) {
			d.Remove(catalog.Ref{Kind: pb.Kind_KIND_REVOCATION, ID: id}, false)
		}
	}
}

func (c CloseOrphans) String() string {
	return fmt.Sprintf("close %d subscriptions of closed plans", len(c.Subscriptions))
}

func (c CloseOrphans) propose(s *catalog.State, d *rules.Draft) {
	for _, id := range c.Subscriptions {
		r, ok := catalog.Lookup[*pb.Subscription](s, pb.Kind_KIND_SUBSCRIPTION, id)
		if !ok || !Open(r.GetStatus()) {
			continue
		}
		if p, ok := catalog.Lookup[*pb.Plan](s, pb.Kind_KIND_PLAN, r.GetPlan()); ok && p.GetStatus() == pb.Plan_CLOSED {
			d.Step(catalog.Ref{Kind: pb.Kind_KIND_SUBSCRIPTION, ID: id}, "close", 0)
		}
	}
}

// Open reports whether a subscription of this status can still be closed.
func Open(s pb.Subscription_Status) bool {
	return s == pb.Subscription_PENDING || s == pb.Subscription_ACCEPTED || s == pb.Subscription_PAUSED
}

// Expired reports whether a revocation no longer matters at the given time.
func Expired(r *pb.Revocation, at time.Time) bool {
	return r.GetExpiresAt() != nil && !r.GetExpiresAt().AsTime().After(at)
}

func refOf(r catalog.Resource) catalog.Ref {
	return catalog.Ref{Kind: catalog.KindOf(r), ID: r.GetId()}
}
