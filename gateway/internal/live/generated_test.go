//go:build !race

package live

// generated is how many definitions TestAcceptedIsInForce makes.
const generated = 20_000
