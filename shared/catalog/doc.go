// Package catalog holds all resources in memory and folds the changes of the log.
//
// State is the one model of "what exists", folded from the log by Apply on both
// sides: the control plane decides commands against it, a gateway node decides
// requests with it. It is immutable; Apply makes a new State that shares almost
// everything with the old one (see shared/cow), so that a reader who holds one
// sees one sequence of the log and takes no lock.
//
// What may be changed, and how, is shared/rules' to say.
//
// The package is pure: no clock, no network, no files, no logging.
package catalog
