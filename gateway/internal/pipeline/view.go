package pipeline

import (
	"sync/atomic"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authz"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/restrict"
	"github.com/portcullis-gateway/portcullis/gateway/internal/route"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/header"
)

// View is everything that requests are decided by, at one position of the log.
// It is immutable: a request uses one View from beginning to end. Make it with NewView.
type View struct {
	State *catalog.State
	// Routes holds stopped Apis, too: their requests go to nobody else.
	Routes  *route.Table[Api]
	Keyring *authn.Keyring

	edition *catalog.Edition
}

// NewView makes a View.
func NewView(state *catalog.State, routes *route.Table[Api], keyring *authn.Keyring) *View {
	return &View{State: state, Routes: routes, Keyring: keyring, edition: new(catalog.Edition)}
}

// Api is a deployment with its plans, compiled. Immutable.
type Api struct {
	ID       string
	Format   pb.Api_ErrorFormat
	Upstream exchange.Upstream
	// ResourceMetadata is the URL of the metadata of RFC 9728; empty: there is none.
	ResourceMetadata string
	// Attached is for the edge to keep what it has for this Api, such as counters.
	Attached atomic.Value

	described *Api  // stands in the routes for the metadata; nil: there is none
	page      *Page // of such an Api; it has nothing else

	stopped bool
	plans   []*Plan // those that serve, in the order in which they are asked
	sources []source
	used    uint64         // the sources that a plan takes credentials from
	cert    bool           // a plan takes client certificates
	missing *denial.Denial // what a request without credential is told
	strip   *header.Names  // headers that only the gateway sets
	// stripProof also has the header of DPoP proofs, if a plan takes any.
	stripProof  *header.Names
	introspects bool // a plan asks its issuer about tokens
}

// Plan is a plan of an Api, compiled. Immutable.
type Plan struct {
	ID string

	rules        *authz.Plan
	target       authz.Target // how tokens that list subscriptions name its Api
	limits       *restrict.Limits
	handle       catalog.Handle
	source       uint64 // the bit of its source in Api.sources
	headers      []claimHeader
	forwardToken bool
	introspects  string // the issuer that an OAUTH2 plan asks
	mtls, dpop   pb.Confirmation_Mode
	roots        *roots          // of an MTLS plan; nil: any registered certificate will do
	assertion    *assertion.Plan // signs for the upstream; nil: nothing does
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
}

// Format is the error format of the matched Api, or ours.
func (d *Decision) Format() pb.Api_ErrorFormat {
	if d.Api == nil {
		return pb.Api_PROBLEM
	}
	return d.Api.Format
}
