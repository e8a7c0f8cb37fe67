package signature

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// RFC 8032 section 7.4, and Project Wycheproof.
func TestEd448(t *testing.T) {
	seen := map[string]int{}
	for _, g := range readVectors(t, "testdata/ed448.json.gz") {
		k, err := NewEd448(g.Point)
		if err != nil {
			t.Fatalf("%s: %v", g.File, err)
		}
		for _, c := range g.Tests {
			if valid := k.Verify(c.Msg, c.Sig); valid != (c.Result == "valid") {
				t.Errorf("%s %d (%s): valid %v, want %s", g.File, c.ID, c.Comment, valid, c.Result)
			}
			seen[g.File+" "+c.Result]++
		}
	}
	if seen["RFC 8032 section 7.4 valid"] < 8 || seen["ed448_test valid"] < 10 || seen["ed448_test invalid"] < 50 {
		t.Errorf("vectors are missing: %v", seen)
	}
}

// The points of small order of edwards448 (RFC 7748 section 4.2: the cofactor is 4), in all
// encodings, and what is no point.
func TestEd448KeysThatAreNone(t *testing.T) {
	ff := func(n int) string { return strings.Repeat("ff", n) }
	zeros := func(n int) string { return strings.Repeat("00", n) }
	for name, c := range map[string]struct{ text, want string }{
		"order 1":                  {"01" + zeros(56), "small order"},
		"order 2":                  {"fe" + ff(27) + "fe" + ff(27) + "00", "small order"},
		"order 4":                  {zeros(57), "small order"},
		"order 4, the other x":     {zeros(56) + "80", "small order"},
		"order 1, with a sign":     {"01" + zeros(55) + "80", "not a point"},
		"0 unreduced":              {ff(28) + "fe" + ff(27) + "00", "not a point"},
		"1 unreduced":              {zeros(28) + ff(28) + "00", "not a point"},
		"not on the curve":         {"02" + zeros(56), "not a point"},
		"bits beyond the sign":     {"01" + zeros(55) + "01", "not a point"},
		"the length of an Ed25519": {zeros(32), "57 bytes, not 32"},
		"the length of an X448":    {zeros(56), "57 bytes, not 56"},
		"none":                     {"", "57 bytes, not 0"},
	} {
		key, err := hex.DecodeString(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewEd448(key); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// secp is a key with this private number, for us and for crypto/ecdsa, which knows the
// curve by its parameters only (SEC 2 section 2.4.1) and so takes another way.
func secp(t testing.TB, d int64) (*Secp256k1, *ecdsa.PublicKey) {
	t.Helper()
	curve := secp256k1.S256()                           //nolint:staticcheck // deprecated, but the way to have crypto/ecdsa's opinion
	x, y := curve.ScalarBaseMult(big.NewInt(d).Bytes()) //nolint:staticcheck // the standard library has no other door to this curve
	k, err := NewSecp256k1(append([]byte{4}, concat(x, y)...))
	if err != nil {
		t.Fatal(err)
	}
	return k, &ecdsa.PublicKey{Curve: curve, X: x, Y: y} //nolint:staticcheck // as above
}

// agree verifies here and with crypto/ecdsa, and both must come to the same.
func agree(t testing.TB, k *Secp256k1, key *ecdsa.PublicKey, message, sig []byte) bool {
	t.Helper()
	got := k.Verify(message, sig)
	want := false
	if digest := sha256.Sum256(message); len(sig) == Secp256k1Size {
		want = ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	}
	if got != want {
		t.Errorf("message %x, signature %x: %v, crypto/ecdsa %v", message, sig, got, want)
	}
	return got
}

// A signature that is often quoted for RFC 6979 on secp256k1: of "Satoshi Nakamoto" by the key 1.
func TestES256KKnownAnswer(t *testing.T) {
	k, key := secp(t, 1)
	sig, err := hex.DecodeString("934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8" + "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5")
	if err != nil {
		t.Fatal(err)
	}
	if !agree(t, k, key, []byte("Satoshi Nakamoto"), sig) {
		t.Error("refused")
	}
}

// What Project Wycheproof tries with every curve: numbers that are out of range, mirrored,
// too long or too short, and hashes that lead to unusual points.
func TestES256KEdges(t *testing.T) {
	n := secp256k1.Params().N
	k, key := secp(t, 4711)
	message := []byte("message")
	digest := sha256.Sum256(message)
	inverse := func(x *big.Int) *big.Int { return new(big.Int).ModInverse(x, n) }
	signWith := func(nonce int64) (r, s *big.Int) {
		x, _ := secp256k1.S256().ScalarBaseMult(big.NewInt(nonce).Bytes()) //nolint:staticcheck // as above
		r = new(big.Int).Mod(x, n)
		s = new(big.Int).Mul(r, big.NewInt(4711))
		s.Add(s, new(big.Int).SetBytes(digest[:])).Mul(s, inverse(big.NewInt(nonce))).Mod(s, n)
		return r, s
	}
	r, s := signWith(815)
	minus := func(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }
	plus := func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
	one, zero := big.NewInt(1), new(big.Int)
	good := concat(r, s)
	if !agree(t, k, key, message, good) || !agree(t, k, key, message, concat(r, minus(n, s))) {
		t.Error("a good signature, or its mirror, is refused")
	}
	for nonce := range int64(20) {
		if r, s := signWith(nonce + 1); !agree(t, k, key, message, concat(r, s)) {
			t.Errorf("the signature with the nonce %d is refused", nonce+1)
		}
	}
	short := func(x *big.Int) bool { return x.BitLen() <= 256 }
	for name, sig := range map[string][2]*big.Int{
		"zeros": {zero, zero}, "r is 0": {zero, s}, "s is 0": {r, zero}, "r is 1": {one, s}, "s is 1": {r, one}, "ones": {one, one},
		"r is n": {n, s}, "s is n": {r, n}, "n and n": {n, n}, "r is n-1": {minus(n, one), s}, "s is n-1": {r, minus(n, one)}, "s is n+1": {r, plus(n, one)},
		"r+n": {plus(r, n), s}, "s+n": {r, plus(s, n)}, "-r": {minus(n, r), s}, "swapped": {s, r}, "p and s": {secp256k1.Params().P, s},
	} {
		if short(sig[0]) && short(sig[1]) && agree(t, k, key, message, concat(sig[0], sig[1])) {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, sig := range map[string][]byte{
		"none": nil, "a byte less": good[:63], "a byte more": append(bytes.Clone(good), 0), "a zero before": append([]byte{0}, good...),
		"padded to P-384": append(append(make([]byte, 16), good[:32]...), append(make([]byte, 16), good[32:]...)...), "twice": append(bytes.Clone(good), good...),
	} {
		if k.Verify(message, sig) {
			t.Errorf("%s: accepted", name)
		}
	}
	if agree(t, k, key, []byte("another"), good) {
		t.Error("a signature of another message is accepted")
	}
	other, otherKey := secp(t, 4712)
	if agree(t, other, otherKey, message, good) {
		t.Error("a signature by another key is accepted")
	}
}

// A number is not taken modulo the order. Hardly any signature has r or s so small that
// r+n or s+n still has 32 bytes: here the public key is made for one that has.
func TestES256KNumbersAreBelowTheOrder(t *testing.T) {
	curve, params := secp256k1.S256(), secp256k1.Params() //nolint:staticcheck // as above
	message := []byte("message")
	digest := sha256.Sum256(message)
	// R is the point with the least x. Of (r, s) by R the public key is (s·R - e·G) / r.
	x := big.NewInt(1)
	var y *big.Int
	for y == nil {
		square := new(big.Int).Exp(x, big.NewInt(3), params.P)
		if y = new(big.Int).ModSqrt(square.Add(square, big.NewInt(7)), params.P); y == nil {
			x.Add(x, big.NewInt(1))
		}
	}
	s := big.NewInt(4711)
	rx, ry := curve.ScalarMult(x, y, s.Bytes()) //nolint:staticcheck // as above
	e := new(big.Int).SetBytes(digest[:])
	gx, gy := curve.ScalarBaseMult(new(big.Int).Mod(new(big.Int).Neg(e), params.N).Bytes()) //nolint:staticcheck // as above
	qx, qy := curve.Add(rx, ry, gx, gy)                                                     //nolint:staticcheck // as above
	qx, qy = curve.ScalarMult(qx, qy, new(big.Int).ModInverse(x, params.N).Bytes())         //nolint:staticcheck // as above
	k, err := NewSecp256k1(append([]byte{4}, concat(qx, qy)...))
	if err != nil {
		t.Fatal(err)
	}
	if !k.Verify(message, concat(x, s)) {
		t.Fatal("the signature is refused")
	}
	plus := func(a *big.Int) *big.Int { return new(big.Int).Add(a, params.N) }
	for name, sig := range map[string][]byte{"r+n": concat(plus(x), s), "s+n": concat(x, plus(s)), "both": concat(plus(x), plus(s))} {
		if k.Verify(message, sig) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSecp256k1KeysThatAreNone(t *testing.T) {
	k, _ := secp(t, 4711)
	point := k.Point()
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	hybrid := append([]byte{6 + point[64]&1}, point[1:]...)
	off := bytes.Clone(point)
	off[64] ^= 1
	large := append([]byte{4}, append(bytes.Repeat([]byte{0xff}, 32), point[33:]...)...)
	for name, key := range map[string][]byte{
		"none": nil, "infinity": {0}, "compressed": compressed, "hybrid": hybrid, "not on the curve": off, "x is not below p": large,
		"zeros": append([]byte{4}, make([]byte, 64)...), "no first byte": point[1:], "longer": append(bytes.Clone(point), 0),
	} {
		if _, err := NewSecp256k1(key); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzES256K compares with crypto/ecdsa.
func FuzzES256K(f *testing.F) {
	k, key := secp(f, 4711)
	f.Add([]byte("message"), make([]byte, 64))
	f.Add([]byte("message"), append(make([]byte, 31), 5, 0xff))
	f.Fuzz(func(t *testing.T, message, sig []byte) { agree(t, k, key, message, sig) })
}
