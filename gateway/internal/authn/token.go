package authn

import (
	"sync/atomic"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Token is a verified token. It is shared by all requests that carry it; only
// its memos change.
type Token struct {
	Issuer *Issuer
	// ClientID is what the issuer's client_id_claims give; empty if none is there.
	ClientID, Subject, JTI string
	Claims                 *token.Claims
	// Seconds since 1970; 0: the token does not have it.
	IssuedAt, NotBefore, ExpiresAt int64
	// SHA256 is of the compact serialisation.
	SHA256 [32]byte
	// OtherSHA256 are of the other spellings that are as good: a revocation of one
	// is one of the token.
	OtherSHA256 [][32]byte
	twin        [1][32]byte // room for the one that most have
	// KeyID and Type are the header's kid and typ; Key says which key verified it.
	KeyID, Type, Key string

	key *keyset.Key
	// Binding is what the token is bound to.
	Binding Binding

	askAgain int64 // when an introspected token must be asked about again
	keyUntil int64 // last second the key may be used; 0: no bound
	clean    atomic.Pointer[catalog.Edition]
	seen     atomic.Pointer[catalog.Edition]
	holder   atomic.Pointer[Holder]
	memo     atomic.Pointer[[]remembered]
}

// Holder is whose a token is, by one edition of the resources.
type Holder struct {
	Edition *catalog.Edition
	Client  catalog.ClientRef
	Known   bool
}

// Thumbprint is the RFC 7638 thumbprint of the key that verified the token; empty
// for a secret, and for a token that no key of ours has verified.
func (t *Token) Thumbprint() string {
	if t.key == nil {
		return ""
	}
	return t.key.Thumbprint()
}

// AcceptedUntil is when the token stops being accepted, in seconds since 1970; 0:
// not by itself.
func (t *Token) AcceptedUntil() int64 {
	if t.ExpiresAt == 0 {
		return 0
	}
	return t.ExpiresAt + t.Issuer.def.ClockSkew
}

// Facts are what revocations can name of the token.
func (t *Token) Facts() catalog.TokenFacts {
	return catalog.TokenFacts{
		Issuer: t.Issuer.def.ID, JTI: t.JTI, ClientID: t.ClientID, Subject: t.Subject, SHA256: t.SHA256, OtherSHA256: t.OtherSHA256,
		IssuedAt: t.IssuedAt,
	}
}

// RevocationMemo holds the revocations that were last found not to name the token.
// They need not be searched again, since time only ends revocations.
func (t *Token) RevocationMemo() *atomic.Pointer[catalog.Edition] { return &t.clean }

// HolderMemo holds who was last found to hold the token. What it keeps must not
// keep a state in memory.
func (t *Token) HolderMemo() *atomic.Pointer[Holder] { return &t.holder }

// Settled reports whether it has been asked about the same edition before. While
// resources change faster than a token comes back, nothing is worth remembering.
func (t *Token) Settled(edition *catalog.Edition) bool {
	if t.seen.Load() == edition {
		return edition != nil
	}
	t.seen.Store(edition)
	return false
}

type remembered struct{ key, value any }

const maxRemembered = 8

// Recall returns what Remember was told under key, which must be comparable. It
// does not allocate for pointers.
func (t *Token) Recall(key any) (value any, ok bool) {
	list := t.memo.Load()
	if list == nil {
		return nil, false
	}
	for i := range *list {
		if (*list)[i].key == key {
			return (*list)[i].value, true
		}
	}
	return nil, false
}

// Remember keeps something that follows from the token and key alone, such as
// whether the rules of a plan hold, for as long as the token is cached. It keeps
// the newest few; one of two that come at the same moment may be forgotten.
func (t *Token) Remember(key, value any) {
	had := t.memo.Load()
	next := []remembered{{key, value}}
	if had != nil {
		for _, r := range *had {
			if r.key != key && len(next) < maxRemembered {
				next = append(next, r)
			}
		}
	}
	t.memo.CompareAndSwap(had, &next)
}

// size is about how much memory the token holds.
func (t *Token) size(compact int) int {
	const own = 1024 // the structs, the cache's entry, the memos
	return own + compact + t.Claims.Size()
}

// state tells what may have changed since the token was validated.
func (t *Token) state(now int64) state {
	switch {
	case t.ExpiresAt != 0 && now >= t.ExpiresAt+t.Issuer.def.ClockSkew:
		return expired
	case t.NotBefore != 0 && now+t.Issuer.def.ClockSkew < t.NotBefore, t.keyUntil != 0 && now > t.keyUntil:
		return doubtful
	}
	return live
}

type state uint8

const (
	live state = iota
	expired
	doubtful // to be validated again
)
