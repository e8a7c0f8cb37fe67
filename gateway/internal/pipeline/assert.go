package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// signedFields are the fields that a plan sets from a token with the JWT that the
// gateway signs for it. They are kept with the token, so that a repeated one costs
// no signature (BenchmarkDecide).
type signedFields struct {
	current atomic.Pointer[signedSet]
	signing sync.Mutex
}

type signedSet struct {
	set              []exchange.HeaderValue
	application      string
	sandbox          bool
	renew, expiresAt int64
}

// usable reports whether the JWT is true of d and still accepted at now.
func (s *signedSet) usable(d *Decision, now int64) bool {
	return s != nil && now < s.expiresAt && s.application == d.Application && s.sandbox == d.sandbox
}

// assert adds the gateway's own JWT to the fields that go upstream. Towards the
// end of its life one request has a new one signed, while the others go on with
// the old one. Without any, they wait for each other.
func (d *Decision) assert(v *View, assessed *assessment, now int64) error {
	fields := assessed.signed
	had := fields.current.Load()
	switch {
	case !had.usable(d, now):
		fields.signing.Lock()
	case now < had.renew || !fields.signing.TryLock():
		d.Forward.Set = had.set
		return nil
	}
	defer fields.signing.Unlock()
	// Another request may have had one signed in the meantime.
	if had = fields.current.Load(); !had.usable(d, now) || now >= had.renew {
		var err error
		if had, err = d.sign(v, assessed, now); err != nil {
			return err
		}
		fields.current.Store(had)
	}
	d.Forward.Set = had.set
	return nil
}

func (d *Decision) sign(v *View, assessed *assessment, now int64) (*signedSet, error) {
	caller := &assertion.Caller{
		Issuer: d.Token.Issuer.Name(), Subject: d.Token.Subject, ClientID: d.Token.ClientID,
		Application: d.Application, Sandbox: d.sandbox,
		ExpiresAt: d.Token.AcceptedUntil(), Claims: d.Token.Claims,
	}
	if application, ok := catalog.Lookup[*pb.Application](v.State, pb.Kind_KIND_APPLICATION, d.Application); ok {
		caller.ApplicationName = application.GetName()
	}
	signed, err := d.Plan.assertion.Sign(caller, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", denial.Internal.Because(cause.Signing), err)
	}
	own := exchange.HeaderValue{Name: d.Plan.assertion.Header, Value: signed.JWT}
	return &signedSet{
		set: append(slices.Clip(assessed.set), own), application: d.Application, sandbox: d.sandbox,
		renew: signed.Renew, expiresAt: signed.ExpiresAt,
	}, nil
}

// setsHeader reports whether set has a field of this name, which comes from a claim.
func setsHeader(set []exchange.HeaderValue, name string) bool {
	return slices.ContainsFunc(set, func(h exchange.HeaderValue) bool { return strings.EqualFold(h.Name, name) })
}
