package token

import (
	"crypto/elliptic"
	"math/big"
	"testing"
)

// The orders stand in the source as bytes, since they are needed for each new token.
func TestOrders(t *testing.T) {
	k256, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	for alg, want := range map[string]*big.Int{
		"ES256": elliptic.P256().Params().N, "ES384": elliptic.P384().Params().N, "ES512": elliptic.P521().Params().N, "ES256K": k256,
	} {
		order := orderOf(alg)
		if n := new(big.Int).SetBytes([]byte(order)); n.Cmp(want) != 0 || len(order) != (want.BitLen()+7)/8 || 2*len(order) > longestSignature {
			t.Errorf("%s: %x in %d bytes, want %x", alg, n, len(order), want)
		}
		size := len(order)
		number := func(n *big.Int) []byte { return n.FillBytes(make([]byte, size)) }
		one := big.NewInt(1)
		last := new(big.Int).Sub(want, one)
		for _, c := range []struct {
			r, s, want *big.Int // want nil: it is not mirrored
		}{
			{one, one, last},
			{last, last, one},
			{one, new(big.Int).Rsh(want, 1), new(big.Int).Sub(want, new(big.Int).Rsh(want, 1))},
			{one, big.NewInt(0x1_0000), new(big.Int).Sub(want, big.NewInt(0x1_0000))},
			{new(big.Int), one, nil},
			{one, new(big.Int), nil},
			{want, one, nil},
			{one, want, nil},
		} {
			got, ok := mirror(nil, append(number(c.r), number(c.s)...), order)
			switch {
			case ok != (c.want != nil):
				t.Errorf("%s: (%x, %x): %v", alg, c.r, c.s, ok)
			case ok && (new(big.Int).SetBytes(got[:size]).Cmp(c.r) != 0 || new(big.Int).SetBytes(got[size:]).Cmp(c.want) != 0):
				t.Errorf("%s: (%x, %x) became %x", alg, c.r, c.s, got)
			}
		}
	}
	if orderOf("EdDSA") != "" || orderOf("RS256") != "" {
		t.Error("an algorithm without a mirrored signature has an order")
	}
}
