package rules

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// MaxDependents is the number of resources that one removal or one closing may
// take with it: they must fit one message of the log.
const MaxDependents = 10_000

// Draft collects what one command wants to change and checks it as a whole:
// field rules, references, uniqueness, lifecycles. It is the only code in which
// these rules stand. Not safe for concurrent use.
type Draft struct {
	base     *catalog.State
	now      time.Time
	file     bool // a file handed to a node: Apis are in force as written
	puts     map[catalog.Ref]catalog.Resource
	removed  map[catalog.Ref]bool
	order    []catalog.Ref // of puts and removals, as they came
	applied  map[catalog.Ref]bool
	faulty   map[catalog.Ref]bool // proposed, and refused for what they are
	deploy   []string             // Apis whose draft shall be put in force
	problems fault.List
	notes    []Note
}

// Note is something the caller should know that is no fault.
type Note struct {
	Ref  catalog.Ref
	Text string
}

// Proposal is a checked Draft.
type Proposal struct {
	// Changes in an order in which they may be folded; none: there is nothing to do.
	Changes []*pb.Change
	Notes   []Note
}

// NewDraft starts a draft against a state. now is the time of the command.
func NewDraft(s *catalog.State, now time.Time) *Draft {
	return &Draft{base: s, now: now, puts: map[catalog.Ref]catalog.Resource{}, removed: map[catalog.Ref]bool{}, applied: map[catalog.Ref]bool{}, faulty: map[catalog.Ref]bool{}}
}

// FromResources builds the state that a file describes: what is written is in
// force, a Subscription is ACCEPTED and a Plan PUBLISHED unless they say
// otherwise. The error is a fault.List. last is the state that will be replaced; nil: none.
func FromResources(resources []catalog.Resource, last *catalog.State, now time.Time) (*catalog.State, error) {
	d := NewDraft(catalog.EmptyAfter(last), now)
	d.file = true
	for _, r := range resources {
		d.Apply(r)
	}
	d.DeployTouched()
	p, err := d.Finish()
	if err != nil {
		return nil, err
	}
	return d.base.WithChanges(p.Changes)
}

// mode is how a resource is proposed.
type mode int

const (
	create  mode = iota // must not exist
	replace             // lifecycle fields stay as they are
	apply               // lifecycle fields move if legal steps lead there
)

// Create proposes a resource that must not exist yet.
func (d *Draft) Create(r catalog.Resource) { d.put(r, create) }

// Replace proposes a resource's whole content; its lifecycle is moved by Step only.
func (d *Draft) Replace(r catalog.Resource) { d.put(r, replace) }

// Apply proposes a resource's whole content, its lifecycle fields included.
func (d *Draft) Apply(r catalog.Resource) {
	ref := catalog.Ref{Kind: catalog.KindOf(r), ID: r.GetId()}
	if d.applied[ref] {
		d.problem(ref, "id", fault.Conflict, "is written twice", "keep one of the two documents")
		return
	}
	d.applied[ref] = true
	d.put(r, apply)
}

// SetKeySet proposes what an issuer's key URLs hold. For the control plane only.
func (d *Draft) SetKeySet(k *pb.KeySet) {
	if _, ok := get[*pb.Issuer](d, pb.Kind_KIND_ISSUER, k.GetId()); !ok {
		d.problem(catalog.Ref{Kind: pb.Kind_KIND_KEY_SET, ID: k.GetId()}, "id", fault.Dangling, fmt.Sprintf("no issuer %q", k.GetId()), "")
		return
	}
	d.set(k)
}

// SetMember proposes what is known of a node. For the control plane only.
func (d *Draft) SetMember(m *pb.Member) { d.set(m) }

// Finish checks what the single proposals could not see, and returns the
// changes. The error is a fault.List, all of them.
func (d *Draft) Finish() (*Proposal, error) {
	for _, api := range d.deploy {
		d.deployIfChanged(api)
	}
	d.markOutOfSync()
	d.checkTogether()
	if len(d.problems) == 0 {
		d.compileTouched()
	}
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	changes, err := d.changes()
	if err != nil {
		return nil, err
	}
	return &Proposal{Changes: changes, Notes: d.notes}, nil
}

func (d *Draft) put(r catalog.Resource, m mode) {
	r, ok := proto.Clone(r).(catalog.Resource)
	if !ok {
		return
	}
	ref := catalog.Ref{Kind: catalog.KindOf(r), ID: r.GetId()}
	if !d.checkID(ref) {
		d.faulty[ref] = true
		return
	}
	old := d.get(ref)
	if m == create && old != nil {
		d.problem(ref, "id", fault.Exists, fmt.Sprintf("%s %q exists already", catalog.KindName(ref.Kind), ref.ID), "PUT replaces it")
		return
	}
	catalog.Identify(r, ref.ID, nil)
	found := len(d.problems)
	d.keepSecrets(ref, r, old)
	if len(d.problems) == found { // a mask that stands for nothing is no secret to be checked
		d.check(ref, r)
	}
	if prepare := kindOf(ref.Kind).prepare; prepare != nil {
		prepare(d, ref, r, old, m)
	}
	if len(d.problems) > found {
		d.faulty[ref] = true
		return
	}
	d.set(r)
}

// prepareAPI keeps what the verbs of an Api's lifecycle move.
func (d *Draft) prepareAPI(_ catalog.Ref, n, old *pb.Api, _ mode) {
	n.PortalState, n.Revision = old.GetPortalState(), old.GetRevision()
	n.Stopped, n.OutOfSync = old.GetStopped(), old.GetOutOfSync()
}

// set records a proposal.
func (d *Draft) set(r catalog.Resource) {
	ref := catalog.Ref{Kind: catalog.KindOf(r), ID: r.GetId()}
	if d.puts[ref] == nil && !d.removed[ref] {
		d.order = append(d.order, ref)
	}
	delete(d.removed, ref)
	d.puts[ref] = r
}

func (d *Draft) unset(ref catalog.Ref) {
	if d.puts[ref] == nil && !d.removed[ref] {
		d.order = append(d.order, ref)
	}
	delete(d.puts, ref)
	d.removed[ref] = true
}

// get is a resource as the draft has it so far; nil if it does not exist.
func (d *Draft) get(ref catalog.Ref) catalog.Resource {
	if r := d.puts[ref]; r != nil {
		return r
	}
	if d.removed[ref] {
		return nil
	}
	rec, ok := d.base.Get(ref.Kind, ref.ID)
	if !ok {
		return nil
	}
	m, err := rec.Decode()
	if err != nil { // the fold lets only decodable resources in
		return nil
	}
	return m
}

// get with the message's own type.
func get[T catalog.Resource](d *Draft, kind pb.Kind, id string) (T, bool) {
	m, ok := d.get(catalog.Ref{Kind: kind, ID: id}).(T)
	return m, ok
}

// exists is get without decoding.
func (d *Draft) exists(ref catalog.Ref) bool {
	if d.puts[ref] != nil {
		return true
	}
	if d.removed[ref] {
		return false
	}
	_, ok := d.base.Get(ref.Kind, ref.ID)
	return ok
}

func (d *Draft) problem(ref catalog.Ref, field string, code fault.Code, message, hint string) {
	d.fault(ref, fault.Fault{Field: field, Code: code, Message: message, Hint: hint})
}

func (d *Draft) note(ref catalog.Ref, text string) { d.notes = append(d.notes, Note{ref, text}) }

// changes turns what differs from the base into Changes: removals first, then
// in the order of references.
func (d *Draft) changes() ([]*pb.Change, error) {
	slices.SortStableFunc(d.order, func(a, b catalog.Ref) int {
		if d.removed[a] != d.removed[b] {
			if d.removed[a] {
				return -1
			}
			return 1
		}
		return int(a.Kind) - int(b.Kind)
	})
	var all []*pb.Change
	for _, ref := range d.order {
		c, err := d.change(ref)
		if err != nil {
			return nil, err
		}
		if c != nil {
			all = append(all, c)
		}
	}
	return all, nil
}

// change is nil if nothing differs from the base.
func (d *Draft) change(ref catalog.Ref) (*pb.Change, error) {
	old, existed := d.base.Get(ref.Kind, ref.ID)
	now := d.now.Unix()
	c := &pb.Change{Kind: ref.Kind, Id: ref.ID, Version: 1, CreatedAt: now}
	if existed {
		c.Version, c.CreatedAt, c.UpdatedAt = old.Version()+1, old.CreatedAt(), now
	}
	if d.removed[ref] {
		if !existed {
			return nil, nil //nolint:nilnil // made and removed in the same draft: no change
		}
		c.Removed = true
		return c, nil
	}
	encoded, err := catalog.Encode(d.puts[ref])
	if err != nil {
		return nil, err
	}
	if existed && string(encoded) == old.Content() {
		return nil, nil //nolint:nilnil // as it was: no change
	}
	c.Resource = encoded
	if restrictive := kindOf(ref.Kind).restrictive; existed && restrictive != nil {
		c.Restrictive = restrictive(d.puts[ref], old)
	}
	return c, nil
}

// losesCredentials reports whether an application has not all credentials any more
// that it had.
func losesCredentials(n *pb.Application, old catalog.Record) bool {
	m, err := old.Decode()
	before, ok := m.(*pb.Application)
	return err != nil || !ok || !coversCredentials(n, before)
}

// coversCredentials reports whether after still has every credential of before.
func coversCredentials(after, before *pb.Application) bool {
	for _, c := range before.GetClients() {
		if !slices.ContainsFunc(after.GetClients(), func(n *pb.Client) bool { return proto.Equal(n, c) }) {
			return false
		}
	}
	for _, k := range before.GetApiKeys() {
		if !slices.ContainsFunc(after.GetApiKeys(), func(n *pb.ApiKey) bool { return proto.Equal(n, k) }) {
			return false
		}
	}
	for _, c := range before.GetCertificates() {
		if !slices.ContainsFunc(after.GetCertificates(), func(n *pb.Certificate) bool { return proto.Equal(n, c) }) {
			return false
		}
	}
	return true
}
