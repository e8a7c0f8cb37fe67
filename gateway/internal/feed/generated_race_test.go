//go:build race

package feed

// generated is how many definitions TestAcceptedIsInForce makes.
const generated = 1_000
