// Package expr compiles and evaluates the expressions of the resources, which
// are written in CEL (https://cel.dev).
//
// An expression sees only what its use allows: selection rules and token
// origins see `request`, claim rules see `claims`, limit keys see both and
// `application` and `plan`. Everything that can be checked is checked when the
// expression is compiled: its types, its result, the patterns it matches with.
//
// # What `request` offers
//
//	request.method  request.path  request.host  request.client_ip   strings
//	request.headers['x-tenant']   request.query['page']   request.cookies['session']
//	'x-internal' in request.headers      has(request.headers.origin)
//	request.headers[?'x-tenant'].orValue('none')
//
// Headers, query parameters and cookies are looked up by name and never listed:
// no map of them is built. Header names compare in lower case.
//
// # Failing closed
//
// Looking up a name that the request or the claims do not have is an error at
// evaluation, and a rule that ends in an error does not hold. So is a rule that
// costs more than the limit. Ask with `in` or has() first, or use [?…].
//
// Extensions enabled: CEL's optional syntax and the strings library. Compiled
// expressions are immutable and safe for concurrent use.
package expr
