package catalog

import (
	"math"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// Revocations are the revocations of a State, by what they name. Immutable.
type Revocations struct {
	by      cow.Map[revoked, []revocation]
	edition *Edition
}

// Edition is the identity of a set of revocations. Remembering it does not keep
// the set itself in memory.
type Edition struct{ _ byte }

// Edition differs exactly when a revocation was added, changed or removed.
func (r *Revocations) Edition() *Edition { return r.edition }

// revoked is what a revocation names. Only one of the values is set.
type revoked struct {
	issuer, jti, client, subject string
	hash                         [32]byte
}

// skewGrace is how much longer than its expires_at a revocation holds, in
// seconds: a token is accepted for as long as the greatest clock_skew after its exp.
const skewGrace = 600

type revocation struct {
	id           string
	issuedBefore int64 // MaxInt64: whenever it was issued
	expiresAt    int64 // MaxInt64: never
}

// TokenFacts is what revocations can name of a token.
type TokenFacts struct {
	Issuer, JTI, ClientID, Subject string
	SHA256                         [32]byte
	OtherSHA256                    [][32]byte // of other spellings of the same token
	IssuedAt                       int64      // seconds since 1970; 0: unknown, so before every revocation
}

func newRevocations() *Revocations {
	return &Revocations{cow.New[revoked, []revocation](), new(Edition)}
}

// Empty reports whether there is no revocation at all.
func (r *Revocations) Empty() bool { return r.by.Len() == 0 }

// Revoked reports whether a revocation in force at now, in seconds since 1970, names the token.
func (r *Revocations) Revoked(t TokenFacts, now int64) bool {
	if r.Empty() {
		return false
	}
	for _, other := range t.OtherSHA256 {
		if r.holds(revoked{hash: other}, t, now) {
			return true
		}
	}
	return r.holds(revoked{hash: t.SHA256}, t, now) ||
		t.JTI != "" && r.holds(revoked{issuer: t.Issuer, jti: t.JTI}, t, now) ||
		t.ClientID != "" && r.holds(revoked{issuer: t.Issuer, client: t.ClientID}, t, now) ||
		t.Subject != "" && r.holds(revoked{issuer: t.Issuer, subject: t.Subject}, t, now)
}

func (r *Revocations) holds(key revoked, t TokenFacts, now int64) bool {
	list, _ := r.by.Get(key)
	for _, rev := range list {
		if t.IssuedAt < rev.issuedBefore && now-skewGrace < rev.expiresAt {
			return true
		}
	}
	return false
}

// revocationEdit makes the next Revocations, or keeps the old pointer if nothing changed.
type revocationEdit struct {
	base    *Revocations
	by      cow.Edit[revoked, []revocation]
	changed bool
}

func (r *Revocations) edit() revocationEdit {
	return revocationEdit{base: r, by: r.by.Edit()}
}

func (e *revocationEdit) done() *Revocations {
	if !e.changed {
		return e.base
	}
	e.base, e.changed = &Revocations{e.by.Map(), new(Edition)}, false
	return e.base
}

func (e *revocationEdit) add(m *pb.Revocation, createdAt int64) {
	rev := revocation{id: m.GetId(), issuedBefore: math.MaxInt64, expiresAt: math.MaxInt64}
	if m.GetExpiresAt() != nil {
		rev.expiresAt = ceil(m.GetExpiresAt())
	}
	if m.GetClientId() != "" || m.GetSubject() != "" {
		rev.issuedBefore = createdAt + 1
		if m.GetIssuedBefore() != nil {
			rev.issuedBefore = ceil(m.GetIssuedBefore())
		}
	}
	key := revokedBy(m)
	list, _ := e.by.Get(key)
	e.by.Set(key, append(slices.Clone(list), rev))
	e.changed = true
}

func (e *revocationEdit) remove(m *pb.Revocation) {
	key := revokedBy(m)
	list, _ := e.by.Get(key)
	list = slices.DeleteFunc(slices.Clone(list), func(r revocation) bool { return r.id == m.GetId() })
	if len(list) == 0 {
		e.by.Delete(key)
	} else {
		e.by.Set(key, list)
	}
	e.changed = true
}

// ceil is in whole seconds, which is what tokens have: a revocation rather
// reaches too far than not far enough.
func ceil(t *timestamppb.Timestamp) int64 {
	if t.GetNanos() > 0 {
		return t.GetSeconds() + 1
	}
	return t.GetSeconds()
}

func revokedBy(m *pb.Revocation) revoked {
	if m.GetTokenSha256() != "" {
		sum, _ := ParseSHA256(m.GetTokenSha256())
		return revoked{hash: sum}
	}
	return revoked{issuer: m.GetIssuer(), jti: m.GetJti(), client: m.GetClientId(), subject: m.GetSubject()}
}
