// Package rules decides what may be changed: field rules, references between
// resources, uniqueness, lifecycles and removals. Draft is the one type in which
// they stand; it turns what a command wants into changes, or into problems.
//
// The package is pure: no network, no files, no logging, and its time is the
// caller's.
package rules
