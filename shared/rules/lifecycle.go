package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// MaxPreviousRevisions is how many earlier definitions a Deployment keeps for rollback.
const MaxPreviousRevisions = 10

// Serving reports whether nodes serve a plan of this status.
func Serving(s pb.Plan_Status) bool {
	return s == pb.Plan_PUBLISHED || s == pb.Plan_DEPRECATED
}

// move is one step of a lifecycle.
type move[S comparable] struct {
	verb string
	from []S
	to   S
}

func planMoves() []move[pb.Plan_Status] {
	return []move[pb.Plan_Status]{
		{"publish", []pb.Plan_Status{pb.Plan_STAGING}, pb.Plan_PUBLISHED},
		{"deprecate", []pb.Plan_Status{pb.Plan_PUBLISHED}, pb.Plan_DEPRECATED},
		{"close", []pb.Plan_Status{pb.Plan_STAGING, pb.Plan_PUBLISHED, pb.Plan_DEPRECATED}, pb.Plan_CLOSED},
	}
}

func subscriptionMoves() []move[pb.Subscription_Status] {
	return []move[pb.Subscription_Status]{
		{"accept", []pb.Subscription_Status{pb.Subscription_PENDING}, pb.Subscription_ACCEPTED},
		{"reject", []pb.Subscription_Status{pb.Subscription_PENDING}, pb.Subscription_REJECTED},
		{"pause", []pb.Subscription_Status{pb.Subscription_ACCEPTED}, pb.Subscription_PAUSED},
		{"resume", []pb.Subscription_Status{pb.Subscription_PAUSED}, pb.Subscription_ACCEPTED},
		{"close", []pb.Subscription_Status{pb.Subscription_PENDING, pb.Subscription_ACCEPTED, pb.Subscription_PAUSED}, pb.Subscription_CLOSED},
	}
}

func portalMoves() []move[pb.Api_PortalState] {
	return []move[pb.Api_PortalState]{
		{"publish", []pb.Api_PortalState{pb.Api_CREATED, pb.Api_UNPUBLISHED}, pb.Api_PUBLISHED},
		{"unpublish", []pb.Api_PortalState{pb.Api_PUBLISHED}, pb.Api_UNPUBLISHED},
		{"deprecate", []pb.Api_PortalState{pb.Api_PUBLISHED, pb.Api_UNPUBLISHED}, pb.Api_DEPRECATED},
	}
}

func verbsOf[S comparable](moves []move[S]) []string {
	verbs := make([]string, len(moves))
	for i, m := range moves {
		verbs[i] = m.verb
	}
	return verbs
}

// step finds where a verb leads from a status. legal are the verbs allowed there.
func step[S comparable](moves []move[S], from S, verb string) (to S, ok bool, legal []string) {
	for _, m := range moves {
		if !slices.Contains(m.from, from) {
			continue
		}
		if m.verb == verb {
			return m.to, true, nil
		}
		legal = append(legal, m.verb)
	}
	return from, false, legal
}

// reachable reports whether legal steps lead from one status to another.
func reachable[S comparable](moves []move[S], from, to S) bool {
	seen := []S{from}
	for i := 0; i < len(seen); i++ {
		if seen[i] == to {
			return true
		}
		for _, m := range moves {
			if slices.Contains(m.from, seen[i]) && !slices.Contains(seen, m.to) {
				seen = append(seen, m.to)
			}
		}
	}
	return false
}

// Step proposes one lifecycle step. revision is for rollback only: the revision
// whose definition shall be in force again.
func (d *Draft) Step(ref catalog.Ref, verb string, revision uint64) {
	old := d.get(ref)
	if old == nil {
		d.problem(ref, "", fault.NotFound, fmt.Sprintf("no %s %q", strings.ToLower(catalog.KindName(ref.Kind)), ref.ID), "")
		return
	}
	k := kindOf(ref.Kind)
	if !slices.Contains(k.verbs, verb) {
		hint := ""
		if len(k.verbs) > 0 {
			hint = "steps: " + strings.Join(k.verbs, ", ")
		}
		d.problem(ref, "", fault.NotFound, fmt.Sprintf("has no step %q", verb), hint)
		return
	}
	k.step(d, ref, clone(old), verb, revision)
}

func (d *Draft) stepPlan(ref catalog.Ref, r *pb.Plan, verb string, _ uint64) {
	if to, ok := stepOf(d, ref, planMoves(), r.GetStatus(), verb); ok {
		r.Status = to
		d.set(r)
		d.endSubscriptions(ref, r)
	}
}

func (d *Draft) stepSubscription(ref catalog.Ref, r *pb.Subscription, verb string, _ uint64) {
	if to, ok := stepOf(d, ref, subscriptionMoves(), r.GetStatus(), verb); ok {
		r.Status = to
		d.set(r)
	}
}

func stepOf[S interface {
	comparable
	fmt.Stringer
}](d *Draft, ref catalog.Ref, moves []move[S], from S, verb string,
) (S, bool) {
	to, ok, legal := step(moves, from, verb)
	if !ok {
		hint := "no step leads on from here"
		if len(legal) > 0 {
			hint = "from here: " + strings.Join(legal, ", ")
		}
		d.problem(ref, "", fault.Lifecycle, fmt.Sprintf("cannot %s what is %s", verb, from), hint)
	}
	return to, ok
}

func (d *Draft) stepAPI(ref catalog.Ref, api *pb.Api, verb string, revision uint64) {
	switch verb {
	case "deploy":
		d.putInForce(ref, api)
	case "rollback":
		d.rollback(ref, api, revision)
	case "start", "stop":
		d.startStop(ref, api, verb == "stop")
	default:
		if to, ok := stepOf(d, ref, portalMoves(), api.GetPortalState(), verb); ok {
			api.PortalState = to
			d.set(api)
		}
	}
}

func (d *Draft) startStop(ref catalog.Ref, api *pb.Api, stop bool) {
	dep, ok := get[*pb.Deployment](d, pb.Kind_KIND_DEPLOYMENT, ref.ID)
	switch {
	case !ok:
		d.problem(ref, "", fault.Lifecycle, "is not deployed", "from here: deploy")
		return
	case dep.GetStopped() == stop && stop:
		d.problem(ref, "", fault.Lifecycle, "is stopped already", "from here: start")
		return
	case dep.GetStopped() == stop:
		d.problem(ref, "", fault.Lifecycle, "is started already", "from here: stop")
		return
	}
	dep = clone(dep)
	dep.Stopped, api.Stopped = stop, stop
	d.set(dep)
	d.set(api)
}

// putInForce deploys an Api's draft as the next revision.
func (d *Draft) putInForce(ref catalog.Ref, api *pb.Api) {
	if !d.file && !d.hasServingPlan(ref.ID) {
		d.problem(ref, "", fault.Lifecycle, "has no published plan, so nobody could call it", "publish a plan of this Api first")
		return
	}
	before, deployed := get[*pb.Deployment](d, pb.Kind_KIND_DEPLOYMENT, ref.ID)
	next := &pb.Deployment{
		Id: ref.ID, Revision: before.GetRevision() + 1, Api: definition(api), Stopped: before.GetStopped(),
		DeployedAt: timestamppb.New(time.Unix(d.now.Unix(), 0).UTC()),
	}
	if deployed {
		last := &pb.Deployment_Revision{Revision: before.GetRevision(), Api: before.GetApi(), DeployedAt: before.GetDeployedAt()}
		next.Previous = append([]*pb.Deployment_Revision{last}, before.GetPrevious()...)
		next.Previous = next.Previous[:min(len(next.Previous), MaxPreviousRevisions)]
	}
	d.set(next)
	api.Revision, api.OutOfSync = next.GetRevision(), false
	d.set(api)
}

// rollback deploys an earlier definition as the next revision, and makes it the draft.
func (d *Draft) rollback(ref catalog.Ref, api *pb.Api, revision uint64) {
	dep, _ := get[*pb.Deployment](d, pb.Kind_KIND_DEPLOYMENT, ref.ID)
	var kept []string
	for _, r := range dep.GetPrevious() {
		if r.GetRevision() == revision {
			earlier := clone(r.GetApi())
			earlier.Id, earlier.PortalState, earlier.Revision = ref.ID, api.GetPortalState(), api.GetRevision()
			earlier.Stopped = api.GetStopped()
			d.putInForce(ref, earlier)
			return
		}
		kept = append(kept, strconv.FormatUint(r.GetRevision(), 10))
	}
	hint := "there is no earlier revision"
	if len(kept) > 0 {
		hint = "earlier revisions: " + strings.Join(kept, ", ")
	}
	d.problem(ref, "revision", fault.NotFound, fmt.Sprintf("no earlier revision %d", revision), hint)
}

// DeployTouched puts the drafts in force of every Api that the draft touches so
// far, itself or by a plan of an Api that was never deployed. An Api without a
// published plan is left alone, with a note.
func (d *Draft) DeployTouched() {
	add := func(api string) {
		if !slices.Contains(d.deploy, api) {
			d.deploy = append(d.deploy, api)
		}
	}
	for _, ref := range d.order {
		switch r := d.puts[ref].(type) {
		case *pb.Api:
			add(ref.ID)
		case *pb.Plan:
			if !d.exists(catalog.Ref{Kind: pb.Kind_KIND_DEPLOYMENT, ID: r.GetApi()}) {
				add(r.GetApi())
			}
		}
	}
}

func (d *Draft) deployIfChanged(id string) {
	ref := catalog.Ref{Kind: pb.Kind_KIND_API, ID: id}
	api, ok := get[*pb.Api](d, ref.Kind, id)
	if !ok {
		return // a plan of an Api that is missing: reported as such
	}
	if dep, ok := get[*pb.Deployment](d, pb.Kind_KIND_DEPLOYMENT, id); ok && proto.Equal(dep.GetApi(), definition(api)) {
		return
	}
	if !d.file && !d.hasServingPlan(id) {
		d.note(ref, "not deployed: it has no published plan")
		return
	}
	d.putInForce(ref, clone(api))
}

// markOutOfSync keeps Api.out_of_sync true to the drafts and deployments.
func (d *Draft) markOutOfSync() {
	for _, ref := range slices.Clone(d.order) {
		api, ok := d.puts[ref].(*pb.Api)
		if !ok {
			continue
		}
		dep, ok := get[*pb.Deployment](d, pb.Kind_KIND_DEPLOYMENT, ref.ID)
		api.OutOfSync = ok && !proto.Equal(dep.GetApi(), definition(api))
	}
}

func (d *Draft) hasServingPlan(api string) bool {
	for _, id := range d.plansOf(api) {
		if p, ok := get[*pb.Plan](d, pb.Kind_KIND_PLAN, id); ok && Serving(p.GetStatus()) {
			return true
		}
	}
	return false
}

// plansOf are the ids of an Api's plans as the draft has them.
func (d *Draft) plansOf(api string) []string {
	var ids []string
	for _, id := range d.base.PlansOf(api) {
		if d.exists(catalog.Ref{Kind: pb.Kind_KIND_PLAN, ID: id}) {
			ids = append(ids, id)
		}
	}
	for ref, r := range d.puts {
		if p, ok := r.(*pb.Plan); ok && p.GetApi() == api && !slices.Contains(ids, ref.ID) {
			ids = append(ids, ref.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// definition is an Api without what the control plane keeps with it.
func definition(api *pb.Api) *pb.Api {
	c := clone(api)
	c.Id, c.Meta = "", nil
	c.PortalState, c.Revision, c.Stopped, c.OutOfSync = 0, 0, false, false
	return c
}

func clone[M proto.Message](m M) M {
	c, ok := proto.Clone(m).(M)
	if !ok {
		panic("BUG: a clone has another type")
	}
	return c
}

func (d *Draft) preparePlan(ref catalog.Ref, n, old *pb.Plan, m mode) {
	initial := pb.Plan_STAGING
	if old == nil && d.file && n.GetStatus() == pb.Plan_STATUS_UNSPECIFIED {
		n.Status = pb.Plan_PUBLISHED
	}
	if old != nil {
		initial = old.GetStatus()
		d.fixed(ref, "api", n.GetApi(), old.GetApi())
		d.fixed(ref, "security", n.GetSecurity().String(), old.GetSecurity().String())
	}
	n.Status = moveTo(d, ref, planMoves(), initial, n.GetStatus(), old != nil && m == replace)
	if old != nil && old.GetStatus() != pb.Plan_CLOSED && n.GetStatus() == pb.Plan_CLOSED {
		d.endSubscriptions(ref, n)
	}
}

func (d *Draft) prepareSubscription(ref catalog.Ref, n, old *pb.Subscription, m mode) {
	if old != nil {
		d.fixed(ref, "application", n.GetApplication(), old.GetApplication())
		d.fixed(ref, "plan", n.GetPlan(), old.GetPlan())
		n.Status = moveTo(d, ref, subscriptionMoves(), old.GetStatus(), n.GetStatus(), m == replace)
		return
	}
	plan, _ := get[*pb.Plan](d, pb.Kind_KIND_PLAN, n.GetPlan())
	if n.GetStatus() == pb.Subscription_STATUS_UNSPECIFIED {
		n.Status = pb.Subscription_PENDING
		if d.file || plan.GetAutoAccept() {
			n.Status = pb.Subscription_ACCEPTED
		}
	}
	if m != apply && plan != nil && plan.GetStatus() != pb.Plan_PUBLISHED {
		d.problem(ref, "plan", fault.Lifecycle, fmt.Sprintf("plan %q is %s and takes no new subscriptions", plan.GetId(), plan.GetStatus()), "")
	}
}

// moveTo is the status that a proposal ends in.
func moveTo[S interface {
	comparable
	fmt.Stringer
}](d *Draft, ref catalog.Ref, moves []move[S], from, to S, fixed bool,
) S {
	var unset S
	switch {
	case to == unset || to == from:
		return from
	case fixed:
		d.problem(ref, "status", fault.Lifecycle, fmt.Sprintf("is %s; PUT does not move it to %s", from, to),
			"use the verbs: "+strings.Join(verbsOf(moves), ", "))
	case !reachable(moves, from, to):
		d.problem(ref, "status", fault.Lifecycle, fmt.Sprintf("no steps lead from %s to %s", from, to), "")
	}
	return to
}

func (d *Draft) fixed(ref catalog.Ref, field, now, before string) {
	if now != before {
		d.problem(ref, field, fault.Conflict, fmt.Sprintf("is %q and cannot become %q", before, now),
			"create another "+catalog.KindName(ref.Kind))
	}
}

// endSubscriptions closes the open subscriptions of a plan that has been closed.
func (d *Draft) endSubscriptions(ref catalog.Ref, plan *pb.Plan) {
	if plan.GetStatus() != pb.Plan_CLOSED {
		return
	}
	ids := d.subscriptionsOf(pb.Kind_KIND_PLAN, plan.GetId())
	closed := 0
	for _, id := range ids {
		s, ok := get[*pb.Subscription](d, pb.Kind_KIND_SUBSCRIPTION, id)
		if !ok || !catalog.Open(s.GetStatus()) {
			continue
		}
		if closed++; closed > MaxDependents {
			d.note(ref, "nodes end all its subscriptions at once; some are still shown as open until housekeeping has closed them")
			return
		}
		s = clone(s)
		s.Status = pb.Subscription_CLOSED
		d.set(s)
	}
}

// subscriptionsOf are the subscriptions of applications or of plans.
func (d *Draft) subscriptionsOf(kind pb.Kind, owners ...string) []string {
	if len(owners) == 0 {
		return nil
	}
	var ids []string
	for id := range d.base.SubscriptionsOf(kind, owners...) {
		ref := catalog.Ref{Kind: pb.Kind_KIND_SUBSCRIPTION, ID: id}
		if d.exists(ref) && d.puts[ref] == nil {
			ids = append(ids, id)
		}
	}
	for ref, r := range d.puts {
		s, ok := r.(*pb.Subscription)
		if !ok {
			continue
		}
		owner := s.GetApplication()
		if kind == pb.Kind_KIND_PLAN {
			owner = s.GetPlan()
		}
		if slices.Contains(owners, owner) {
			ids = append(ids, ref.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// prepareRevocation fixes the time that the request left open. What a
// revocation names stays as it is: revoking something else must not end it.
func (d *Draft) prepareRevocation(ref catalog.Ref, n, old *pb.Revocation, m mode) {
	if old != nil {
		d.fixed(ref, "issuer", n.GetIssuer(), old.GetIssuer())
		if n.GetIssuer() == old.GetIssuer() && !sameTarget(n, old) {
			d.problem(ref, "", fault.Conflict, "names something else than before, and revocations are never taken back by overwriting",
				"create another Revocation, or delete this one")
		}
		if end := n.GetExpiresAt(); end != nil && (old.GetExpiresAt() == nil || end.AsTime().Before(old.GetExpiresAt().AsTime())) {
			d.problem(ref, "expires_at", fault.Conflict, "is earlier than before", "delete the revocation if it shall end")
		}
	}
	d.checkEnd(ref, n, old, m)
	if (n.GetClientId() == "" && n.GetSubject() == "") || n.GetIssuedBefore() != nil {
		return
	}
	if d.file {
		// Read again after an edit or a restart, it would concern newer tokens each time.
		d.problem(ref, "issued_before", fault.Invalid, "is needed in a file with client_id or subject: nobody remembers when the revocation was written",
			"write the time of the revocation: "+d.now.UTC().Truncate(time.Second).Format(time.RFC3339))
		return
	}
	// Tokens have whole seconds: those of this second are meant, too.
	n.IssuedBefore = timestamppb.New(time.Unix(d.now.Unix()+1, 0).UTC())
	if m == apply && old.GetIssuedBefore() != nil {
		n.IssuedBefore = old.GetIssuedBefore() // the file says what it said
	}
}

// checkEnd refuses a revocation that has ended before it begins. Of files it is said
// only: they go on naming revocations that have ended since. One that is written again
// with the end that it has is as good as before.
func (d *Draft) checkEnd(ref catalog.Ref, n, old *pb.Revocation, m mode) {
	end := n.GetExpiresAt()
	switch {
	case end == nil || end.AsTime().After(d.now), proto.Equal(end, old.GetExpiresAt()):
	case m == apply:
		d.note(ref, "expires_at is past: the revocation refuses no token")
	default:
		d.problem(ref, "expires_at", fault.Invalid, "is past: the revocation would refuse no token",
			"when the tokens expire by themselves; without it the revocation holds until it is deleted")
	}
}

// sameTarget reports whether two revocations of an issuer name the same.
func sameTarget(a, b *pb.Revocation) bool {
	return a.GetJti() == b.GetJti() && a.GetClientId() == b.GetClientId() && a.GetSubject() == b.GetSubject() &&
		strings.EqualFold(a.GetTokenSha256(), b.GetTokenSha256())
}
