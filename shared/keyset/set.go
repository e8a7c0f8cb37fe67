package keyset

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// MaxCandidates bounds how many signature checks one token may cost, which is what a
// forged one does cost. Only tokens without a `kid`, and sets that use one `kid` many
// times, come near it: see Set.Notes.
const MaxCandidates = 100

// Set is an issuer's keys.
type Set struct {
	keys []*Key
	// named: by kid. unnamed: keys without a kid. every: all, for tokens without one.
	named          map[candidate][]*Key
	unnamed, every [algorithmCount][]*Key
	ids            map[string]struct{}
	notes          []string
}

type candidate struct {
	kid string
	alg Algorithm
}

// NewSet makes a set of keys; the order decides which are tried first.
func NewSet(keys []*Key) *Set {
	s := &Set{keys: keys, named: map[candidate][]*Key{}, ids: map[string]struct{}{}}
	for _, k := range keys {
		if k.ID != "" {
			s.ids[k.ID] = struct{}{}
		}
		for a := RS256; a <= HS512; a++ {
			if !k.algorithms.Has(a) {
				continue
			}
			s.every[a] = append(s.every[a], k)
			if k.ID == "" {
				s.unnamed[a] = append(s.unnamed[a], k)
				continue
			}
			at := candidate{k.ID, a}
			s.named[at] = append(s.named[at], k)
		}
	}
	s.noteCrowds()
	return s
}

// noteCrowds notes where keys are left untried.
func (s *Set) noteCrowds() {
	for a := RS256; a <= HS512; a++ {
		if n := len(s.every[a]); n > MaxCandidates {
			s.notes = append(s.notes, fmt.Sprintf("%d keys fit a token with alg %s that has no kid; only the first %d are tried (hint: have the issuer write kid)", n, a, MaxCandidates))
		}
	}
	for at, keys := range s.named {
		if len(keys) > MaxCandidates {
			s.notes = append(s.notes, fmt.Sprintf("%d keys for %s have the kid %q; only the first %d are tried", len(keys), at.alg, shorten(at.kid), MaxCandidates))
		}
	}
	slices.Sort(s.notes)
}

// Notes say, for people, what is not as it may seem: which keys of a configured JWK set
// cannot be used and why, that no key of a URL fits the issuer's algorithms, and where
// there are more keys than are tried (MaxCandidates).
func (s *Set) Notes() []string { return s.notes }

// Keys returns the keys; the slice must not be changed.
func (s *Set) Keys() []*Key { return s.keys }

// Len returns the number of keys.
func (s *Set) Len() int { return len(s.keys) }

// Extends reports whether s has the keys of old, in the same order and each with
// the same name, origin, algorithms and beginning, and none may be used for a
// shorter time.
func (s *Set) Extends(old *Set) bool {
	return slices.EqualFunc(s.keys, old.keys, (*Key).extends)
}

// Shares returns a key of s that other has, too, whatever its kid; nil: there is none.
func (s *Set) Shares(other *Set) *Key {
	for _, k := range s.keys {
		if other.Holds(k) {
			return k
		}
	}
	return nil
}

// Holds reports whether s has a key with the same public key or secret.
func (s *Set) Holds(key *Key) bool {
	return slices.ContainsFunc(s.keys, func(k *Key) bool { return k.sameMaterial(key) })
}

// HasID reports whether a key of the set has this `kid`.
func (s *Set) HasID(kid string) bool { _, ok := s.ids[kid]; return ok }

// Candidates returns the keys to try for a token of this `kid` and `alg`; whose signatures
// are checked are at most MaxCandidates of them. A kid leads to the keys that have it, or
// else to those that have none (PEM keys and secrets usually). Without a kid it is all
// keys that fit the algorithm. The slice must not be changed.
func (s *Set) Candidates(kid string, alg Algorithm) []*Key {
	if int(alg) >= algorithmCount {
		return nil
	}
	if kid == "" {
		return s.every[alg]
	}
	if keys := s.named[candidate{kid, alg}]; len(keys) > 0 {
		return keys
	}
	return s.unnamed[alg]
}

// JWKS writes the public keys as a JWK set (RFC 7517), always the same for the same keys.
func (s *Set) JWKS() []byte {
	type entry struct {
		thumbprint string
		jwk        map[string]string
	}
	entries := make([]entry, 0, len(s.keys))
	for _, k := range s.keys {
		members := k.members()
		if members == nil {
			continue
		}
		jwk := map[string]string{"use": "sig"}
		for _, m := range members {
			jwk[m.name] = m.value
		}
		if k.ID != "" {
			jwk["kid"] = k.ID
		}
		if k.Issuer != "" {
			jwk["issuer"] = k.Issuer
		}
		if k.declared != 0 {
			jwk["alg"] = k.declared.String()
		}
		entries = append(entries, entry{k.Thumbprint(), jwk})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.jwk["kid"], b.jwk["kid"]), cmp.Compare(a.jwk["alg"], b.jwk["alg"]),
			cmp.Compare(a.thumbprint, b.thumbprint), cmp.Compare(a.jwk["issuer"], b.jwk["issuer"]))
	})
	entries = slices.CompactFunc(entries, func(a, b entry) bool {
		return a.thumbprint == b.thumbprint && a.jwk["kid"] == b.jwk["kid"] && a.jwk["alg"] == b.jwk["alg"] && a.jwk["issuer"] == b.jwk["issuer"]
	})
	doc := struct {
		Keys []map[string]string `json:"keys"`
	}{make([]map[string]string, 0, len(entries))}
	for _, e := range entries {
		doc.Keys = append(doc.Keys, e.jwk)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		panic("BUG: encode a JWK set: " + err.Error())
	}
	return out
}
