package pipeline

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// askForCertificate asks an MTLS plan. A certificate that nobody has registered,
// or that is out of date, does not decide: it may be there for a token that is
// bound to it, or for nobody here, and the request's other credential counts.
func (p *Pipeline) askForCertificate(v *View, r *request.Request, d *Decision, plan *Plan) (decides bool, err error) {
	err = d.certificate(v, r, plan)
	d.note(stepCertificate, plan, err)
	if err != nil {
		return false, err
	}
	if plan.Rules.NeedsSubscription() {
		if err := d.entitled(v, r, plan); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (d *Decision) certificate(v *View, r *request.Request, plan *Plan) error {
	if r.Now < r.Certificate.NotBefore.Unix() || r.Now > r.Certificate.NotAfter.Unix() {
		return denial.InvalidCertificate.Because(cause.CertificateDates)
	}
	sum := sha256.Sum256(r.Certificate.Raw)
	known, ok := v.State.Certificate(sum)
	switch {
	case !ok:
		return denial.InvalidCertificate.Because(cause.CertificateUnknown)
	case known.ExpiresAt != 0 && known.ExpiresAt <= r.Now:
		return denial.InvalidCertificate.Because(cause.CertificateExpired)
	case plan.roots != nil && !plan.roots.trust(r, sum):
		return denial.InvalidCertificate.Because(cause.CertificateUntrusted)
	}
	d.Application, d.application, d.KeyID = known.Application, known.Handle, known.KeyID
	return nil
}

// maxChains is how many certificates a plan remembers to have found a chain for.
const maxChains = 4096

// roots are the authorities of an MTLS plan. They remember the certificates that
// chain to them, because finding a chain takes longer than all the rest; only
// registered certificates come here, so there are few.
type roots struct {
	pool *x509.CertPool

	mu     sync.RWMutex
	chains map[[sha256.Size]byte]span
}

// span is the seconds in which a chain holds.
type span struct{ from, until int64 }

// newRoots prepares the authorities of a plan; nil: none are asked for.
func newRoots(pool *x509.CertPool) *roots {
	if pool == nil {
		return nil
	}
	return &roots{pool: pool, chains: map[[sha256.Size]byte]span{}}
}

// trust reports whether the request's certificate, whose hash is sum, is for client
// authentication and chains to one of the roots now. The certificates that the client
// sent behind it are taken as intermediates.
func (a *roots) trust(r *request.Request, sum [sha256.Size]byte) bool {
	a.mu.RLock()
	known, ok := a.chains[sum]
	a.mu.RUnlock()
	if ok && known.from <= r.Now && r.Now <= known.until {
		return true
	}
	between := x509.NewCertPool()
	for _, c := range r.Chain {
		between.AddCert(c)
	}
	found, err := r.Certificate.Verify(x509.VerifyOptions{
		Roots: a.pool, Intermediates: between, CurrentTime: time.Unix(r.Now, 0), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return false
	}
	holds := span{from: found[0][0].NotBefore.Unix(), until: found[0][0].NotAfter.Unix()}
	for _, c := range found[0] {
		holds.from, holds.until = max(holds.from, c.NotBefore.Unix()), min(holds.until, c.NotAfter.Unix())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.chains) >= maxChains {
		clear(a.chains)
	}
	a.chains[sum] = holds
	return true
}
