// Package jwks keeps issuers' key sets fresh over HTTP.
//
// Every URL is fetched by itself, never twice at a time, so that a server that
// is down, slow or sends nonsense delays no other. Issuers that name
// the same URL, trust the same roots and have the same timeout share its fetches.
// A set is fetched again when four fifths of its time have passed; that time is the
// issuer's ttl, or a shorter max-age of the answer. After a failure the last good
// set stays and the URL is tried again after an exponentially growing, jittered
// pause. How long an old set may serve is the reader's to check: it is in the
// sources (usable_until).
//
// An answer counts as a key set only if it is status 200, at most 512 KiB and 100
// keys, and has at least one usable key. Redirects are followed to the same host
// only. Nothing of a token ever becomes part of a URL.
package jwks
