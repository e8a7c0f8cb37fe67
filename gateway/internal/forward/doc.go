// Package forward is what all forwarders have in common: what of a client's
// request goes upstream and what of the answer comes back (header.go), the order
// in which targets are tried (targets.go), and which denial a fault becomes
// (fault.go). A forwarder is the part that speaks to the upstream: forward/fast
// with connections of its own, forward/std with net/http. forward/forwardtest is
// what both must pass.
package forward
