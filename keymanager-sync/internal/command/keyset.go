package command

import (
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// PutKeySet records what an issuer's JWKS URLs hold now. The generation counts up
// exactly when the keys differ from those in the state. What was fetched before
// the state's own set changes nothing; the same keys are only written again if
// their usable_until moves by RenewAfter at least.
type PutKeySet struct {
	unconditional

	Issuer     string
	Sources    []*pb.KeySet_Source
	RenewAfter time.Duration
}

func (c PutKeySet) String() string { return "renew key-set/" + c.Issuer }

func (c PutKeySet) propose(s *catalog.State, d *rules.Draft) {
	before, known := catalog.Lookup[*pb.KeySet](s, pb.Kind_KIND_KEY_SET, c.Issuer)
	generation := uint64(1)
	if known {
		same := sameKeys(before.GetSources(), c.Sources)
		older := fetched(c.Sources).Before(fetched(before.GetSources()))
		moved := usable(c.Sources).Sub(usable(before.GetSources())).Abs()
		if older || (same && moved < c.RenewAfter) {
			return
		}
		if generation = before.GetGeneration(); !same {
			generation++
		}
	}
	d.SetKeySet(&pb.KeySet{Id: c.Issuer, Generation: generation, Sources: c.Sources})
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

func sameKeys(a, b []*pb.KeySet_Source) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].GetUrl() != b[i].GetUrl() || a[i].GetJwks() != b[i].GetJwks() {
			return false
		}
	}
	return true
}
