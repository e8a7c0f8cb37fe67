package pipeline

import (
	"sync/atomic"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
	"github.com/portcullis-gateway/portcullis/shared/policy/route"
)

// View is everything that requests are decided by, at one position of the log.
// It is immutable: a request uses one View from beginning to end. Make it with NewView.
type View struct {
	State *catalog.State
	// Routes holds stopped and unavailable Apis, too: no other Api serves their requests.
	Routes  *route.Table[Api]
	Keyring *authn.Keyring

	edition *catalog.Edition
}

// NewView makes a View.
func NewView(state *catalog.State, routes *route.Table[Api], keyring *authn.Keyring) *View {
	return &View{State: state, Routes: routes, Keyring: keyring, edition: new(catalog.Edition)}
}

// Api is a compiled Api on this node. Immutable.
type Api struct {
	ID     string
	Format pb.Api_ErrorFormat
	// Upstream is where its requests go.
	Upstream exchange.Upstream
	// ResourceMetadata is the URL of the metadata of RFC 9728; empty: there is none.
	ResourceMetadata string
	// Attached is for the front to keep what it has for this Api, such as counters.
	Attached atomic.Value

	def         *compile.Api
	plans       []*Plan // those that serve, in the order in which they are asked
	unavailable bool    // its definition is not in force here

	described *Api  // stands in the routes for the metadata; nil: there is none
	page      *Page // of such an Api; it has nothing else
}

// Plan is a compiled plan on this node. Immutable.
type Plan struct {
	*compile.Plan

	handle    catalog.Handle
	roots     *roots          // of an MTLS plan; nil: any registered certificate will do
	assertion *assertion.Plan // signs for the upstream; nil: nothing does
}

// Decision is what Decide finds out about a request. Its parts stay filled in
// when the request is denied, as far as the steps came. The zero Decision is
// ready for use, and so is a used one.
type Decision struct {
	// Api is nil if none matched.
	Api *Api
	// Plan is the one that decided; nil: none did.
	Plan *Plan
	// Token is the verified token, nil for other kinds of credential.
	Token *authn.Token
	// Application is the id of the client's application; empty: not known.
	Application string
	// KeyID tells which of the application's API keys was used.
	KeyID string
	// Forward is how the request goes on, if it does.
	Forward exchange.Forward
	// Page is the answer in place of an upstream's; nil: the request goes on.
	Page *Page
	// Refusal tells the headers of a 429.
	Refusal restrict.Refusal
	// Allow lists the methods for the Allow header of a 405.
	Allow []string

	credential  credential
	failed      error         // why the token is no good JWT
	asked       *authn.Issuer // whose server has vouched for Token
	proved      string        // the key that a DPoP proof has shown
	application catalog.Handle
	sandbox     bool
	trace       *Trace
	refusals    []refusal // what the steps refused, in order
}

// refusal is a step that refused, by a plan if that was asked.
type refusal struct {
	step   stepName
	plan   *Plan
	denial *denial.Denial
}

// Refusal is one step's say against a request. It holds nothing of the request.
type Refusal struct {
	Step string
	// Plan is the id of the plan that was asked; empty: none in particular.
	Plan    string
	Because *denial.Denial
}

// Refusals yields what steps had against a request, in order.
func (d *Decision) Refusals(yield func(Refusal) bool) {
	for i := range d.refusals {
		r := Refusal{Step: d.refusals[i].step.String(), Because: d.refusals[i].denial}
		if plan := d.refusals[i].plan; plan != nil {
			r.Plan = plan.ID
		}
		if !yield(r) {
			return
		}
	}
}

// Brought says which kind of credential a request had: none, token or api_key.
func (d *Decision) Brought() string { return d.credential.kindName() }

// Reset makes a used Decision ready for another request. It keeps nothing of the
// one before but memory.
func (d *Decision) Reset() {
	clear(d.refusals)
	*d = Decision{refusals: d.refusals[:0]}
}

// Format is the error format of the matched Api, or ours.
func (d *Decision) Format() pb.Api_ErrorFormat {
	if d.Api == nil {
		return pb.Api_PROBLEM
	}
	return d.Api.Format
}
