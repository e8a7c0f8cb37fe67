// Package pipeline decides about a request: it is where the steps meet.
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
// token_from finds one, or an API key. Two of them, or one of them twice, is
// denial.InvalidRequest, and so is a bearer token that is none by the
// characters it has. Where an Api takes tokens only from elsewhere, a bearer
// token alone is not looked at, but beside the other it is a second credential.
// An Authorization field of another scheme, or an empty one, is no credential.
//
// # Which plan decides
//
// Plans that serve (published or deprecated) are asked in the order mTLS, JWT,
// OAuth2, API key, keyless, and within a kind by their `order`, then their id.
// A plan is eligible if the request brought its kind of credential and its
// selection_rule holds. The first eligible plan that trusts the verified
// credential and has a live subscription of the client decides: when the token
// lacks a scope it asks for, that is the answer, whatever later plans would say.
//
// A credential that is presented and bad is always refused. Keyless plans serve
// only requests that bring no credential of a kind that another serving plan of
// the Api takes, whether that plan is eligible or not.
//
// When no plan decides, the answer is the most telling of what the eligible
// ones said: the subscription is not active, there is none, the credential is
// not for them; or that a credential is needed.
//
// # Explain
//
// Explain runs the same code with a Trace, which every step writes to. It reads
// the counters of limits without counting.
package pipeline
