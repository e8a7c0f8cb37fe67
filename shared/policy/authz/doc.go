// Package authz holds a plan's rules on who may call: which issuers and
// audiences it takes tokens from, which requests it is for, which scopes and
// claims it asks for, and whether a subscription entitles to it.
//
// A rule that cannot be evaluated does not hold. A plan that asks for something
// this version does not know (a newer control plane may) is not Usable, and lets
// nobody in.
package authz
