// Package fault is the one form of "this is wrong, here, and this cures it": a
// Fault has a position (file and line, resource, field), a message and a hint. Settings,
// files, the rules of the domain and the REST API all report it, all faults of an
// input at once, and all write it in the same way:
//
//	orders.yaml:7: plan/gold: jwt.issuers[0]: no issuer "acne" (hint: did you mean "acme"?)
//
// It also finds the known word that an unknown one was meant to be.
package fault
