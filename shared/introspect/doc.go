// Package introspect asks authorization servers whether a token is good (RFC 7662).
//
// Only an answer that is status 200, JSON by its content type, at most 64 KiB,
// strict (no member twice, UTF-8, bounded depth) and has `active` as exactly
// true speaks for a token; `active` as exactly false speaks against it. All else
// is an Error and speaks neither way: a caller must not let the token pass, and
// must not say that it is bad. Redirects are not followed, because the request
// carries a live token and the gateway's own credentials.
//
// A Client bounds the harm that a slow or broken server can do: so many requests
// at a time, so many that wait for their turn, a time for the whole of it, and a
// circuit breaker. What only one token brings about (an answer 400, say) does
// not count against the server, or anybody could shut it off with strange tokens.
//
// Nothing is cached here: what an answer is good for is the caller's to know.
package introspect
