// Package restrict holds a plan's restrictions: which paths and methods it
// includes, and how many requests it allows. It counts for one node.
//
// # Counting
//
// rate_limit is a sliding window: never more than `requests` in any span of
// `period`, wherever the span begins. The window moves in fifteenths of the
// period, so a request is forgotten between one period and one and a fifteenth
// after it came. (A token bucket would let twice the number through in one
// period, a fixed window as well; an exact log of times costs memory in
// proportion to the limit.)
//
// quota is a fixed window that opens with the first request and lasts `period`,
// as in Gravitee and Flex. Refused requests do not count.
//
// spike_arrest smooths: requests pass at an even pace of period/requests, and at
// most what the limit allows in 100 ms may come at once (at least one).
//
// The limits of one request are checked together and counted together: a request
// that one of them refuses is counted by none, as long as they have the same key.
//
// # Keys
//
// A counter belongs to a plan and to the subscription (application and plan) of
// the request, or to the client's address if it has no subscription: an IPv4
// address, or the first 64 bits of an IPv6 address, since that is what one
// client commonly has. A limit with a `key` has a counter for each of its
// values, within the plan; where the expression fails (a header that is not
// there) or gives an empty string, the request is counted under the default
// key, so that leaving something out never escapes the limit.
//
// Counters live in a Store, which outlives the compiled plans: a changed plan
// goes on counting where it was.
package restrict
