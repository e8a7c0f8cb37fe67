// Package pipeline decides about a request, step by step.
//
//	match → credential → plans in order: authenticate, revocation, subscription, rules → restrict
//
// Decide is the whole of it, read from top to bottom. It knows no HTTP stack,
// takes no lock but those of the token cache and the counters, and for a token
// that was seen before it allocates nothing.
//
// # One credential
//
// A request brings at most one credential of the kinds that the Api's plans
// take: a bearer token (RFC 6750 section 2.1), a token from where a plan's
// token_from finds one, or an API key. If a plan takes tokens that are bound to a
// key, Authorization: DPoP brings a token, too (RFC 9449 section 7.1). Two of
// them, or one of them twice, is denial.InvalidRequest, and so is a bearer token
// that is none by the characters it has. Where no plan takes tokens from
// Authorization, what that field holds is none of the Api's business: it is no
// second credential, and goes on to the upstream.
// An Authorization field of another scheme, or an empty one, is no credential.
//
// # Which plan decides
//
// Plans that serve (published or deprecated) are asked in the order mTLS, JWT,
// OAuth2, API key, keyless, and within a kind by their `order`, then their id.
// A plan is eligible if the request brought its kind of credential and its
// selection_rule holds. The first eligible plan that trusts the verified
// credential and has an active subscription of the client decides: when the token
// lacks a scope it asks for, that is the answer, without a look at later plans.
//
// Where an Api has OAUTH2 plans, a JWT plan judges only what an issuer that it
// trusts has made, or seems to have made: a bad token of such an issuer is
// refused and never introspected; all else goes on to the OAUTH2 plans. A token
// that names another configured issuer than the plan's is not shown to that
// plan's server. When no plan decides and a server could not be asked, that is
// the answer, because the token may be good.
//
// A client certificate is the credential of MTLS plans, and may come along with
// another: one that no application has registered does not decide, but no keyless
// plan serves a request that brings one where a serving plan takes certificates.
//
// # Bound tokens
//
// A plan's confirmation modes say which bindings of tokens (cnf) it takes. OFF:
// none; a token that is bound so is not for this plan, because nobody would check
// the binding. WHEN_BOUND: with the proof, and unbound tokens without. REQUIRED:
// bound ones only. A missing or wrong proof refuses the request whatever other
// plans there are. A token that is bound to a key must come as Authorization:
// DPoP; under Bearer it is refused, and so is an unbound one under DPoP. (Where
// token_from takes tokens from elsewhere, there is no scheme to look at.) The
// proof is checked once per request, and leaves with the token.
//
// A credential that is presented and bad is always refused. Keyless plans serve
// only requests that bring no credential of a kind that another serving plan of
// the Api takes, whether that plan is eligible or not.
//
// When no plan decides, the answer is the most telling of the eligible
// ones' answers: the subscription is not active, there is none, the credential is
// not for them; or that a credential is needed.
//
// # Explain
//
// Explain runs the same code with a Trace, which every step writes to. It reads
// the counters of limits without counting.
package pipeline
