package command

import (
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// PutKeySet records what an issuer's JWKS URLs hold now. The generation counts up
// exactly when the keys differ from those in the state. What was fetched before
// the state's own set changes nothing; the same keys are only written again if
// their usable_until moves by RenewAfter at least, or if it is known since then under
// which settings they were fetched. What was fetched under settings that the issuer
// does not have any more is left out.
type PutKeySet struct {
	unconditional

	Issuer     string
	Sources    []*pb.KeySet_Source
	RenewAfter time.Duration
}

func (c PutKeySet) String() string { return "renew key-set/" + c.Issuer }

func (c PutKeySet) propose(s *catalog.State, d *rules.Draft) {
	issuer, _ := catalog.Lookup[*pb.Issuer](s, pb.Kind_KIND_ISSUER, c.Issuer)
	sources := c.Sources
	if issuer != nil {
		if sources = keyset.Sources(issuer, &pb.KeySet{Sources: c.Sources}); len(sources) < len(c.Sources) && len(sources) == 0 {
			return
		}
	}
	before, known := catalog.Lookup[*pb.KeySet](s, pb.Kind_KIND_KEY_SET, c.Issuer)
	generation := uint64(1)
	if known {
		keys, settings := same(before.GetSources(), sources)
		older := fetched(sources).Before(fetched(keyset.Sources(issuer, before)))
		moved := usable(sources).Sub(usable(before.GetSources())).Abs()
		if older || (keys && settings && moved < c.RenewAfter) {
			return
		}
		if generation = before.GetGeneration(); !keys {
			generation++
		}
	}
	d.SetKeySet(&pb.KeySet{Id: c.Issuer, Generation: generation, Sources: sources})
}

// fetched is when the newest source was.
func fetched(sources []*pb.KeySet_Source) time.Time {
	var newest time.Time
	for _, s := range sources {
		if at := s.GetFetchedAt().AsTime(); at.After(newest) {
			newest = at
		}
	}
	return newest
}

// usable is until when the first of the sources is.
func usable(sources []*pb.KeySet_Source) time.Time {
	var first time.Time
	for i, s := range sources {
		if at := s.GetUsableUntil().AsTime(); i == 0 || at.Before(first) {
			first = at
		}
	}
	return first
}

// same reports whether two sets have the same keys, and were fetched under the same settings.
func same(a, b []*pb.KeySet_Source) (keys, settings bool) {
	if len(a) != len(b) {
		return false, false
	}
	keys, settings = true, true
	for i := range a {
		keys = keys && a[i].GetUrl() == b[i].GetUrl() && a[i].GetJwks() == b[i].GetJwks()
		settings = settings && a[i].GetFetchedUnder() == b[i].GetFetchedUnder()
	}
	return keys, settings
}
