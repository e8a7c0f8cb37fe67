// Package demo is what a first look needs besides the product: an issuer that
// gives tokens to anybody who asks, an upstream that echoes what it received,
// and resources that put an Api between them. Not for production: the issuer
// authenticates nobody.
package demo
