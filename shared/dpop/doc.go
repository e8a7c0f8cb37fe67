// Package dpop reads and checks DPoP proofs (RFC 9449) and remembers which were
// used.
//
// Parse makes every check that a proof allows by itself: it is a JWT by the
// strict rules of package token, of typ dpop+jwt, signed with an asymmetric
// algorithm by the public key in its own header, and it has jti, htm, htu, iat
// and ath. What they are held against (the request, the token and the key that
// the token is bound to) is the caller's; then Verify checks the signature, and
// Replays.Use that the proof is new.
//
// Replays is one node's memory: a proof that was used on one node of a fleet can
// be used once more on each other node while it is fresh. It is bounded; when it
// is full of proofs that are still fresh, no further one is accepted, because
// forgetting one would allow to use it again.
package dpop
