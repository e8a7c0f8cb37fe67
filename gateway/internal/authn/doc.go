// Package authn decides whether a token is genuine and meant to be used now, and
// says whose it is. What the token may do is another step's question.
//
// A token that was validated is remembered by its exact bytes, together with the
// *Issuer it was validated under. An Issuer is compiled again whenever its settings
// or its keys change, and a Keyring is a set of Issuers; so one comparison of
// pointers tells that a remembered token still stands on what is in force. Dates
// are checked on every use.
//
// Tokens that are asked about (RFC 7662) have a memory of their own, by their
// exact bytes and the *Issuer that was asked, each for the issuer's cache_ttl and
// not beyond its exp. A question is asked once for all requests that wait for it.
//
// Used DPoP proofs (RFC 9449) are remembered, too, for as long as they are fresh.
// That memory is this node's: on another node of the fleet the same proof can be
// used once more.
//
// Refused tokens are remembered only if refusing them has cost a signature check,
// for a few seconds, and only for the Keyring they were refused under. Nothing
// remembered can turn a refusal into a pass.
package authn
