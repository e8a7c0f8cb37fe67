package signature

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/nistec"
)

var order = elliptic.P256().Params().N

func number(n int64) *big.Int { return big.NewInt(n) }

func inverse(n *big.Int) *big.Int { return new(big.Int).ModInverse(n, order) }

func product(factors ...*big.Int) *big.Int {
	all := number(1)
	for _, f := range factors {
		all.Mod(all.Mul(all, f), order)
	}
	return all
}

func scalar(n *big.Int) []byte {
	return new(big.Int).Mod(n, order).FillBytes(make([]byte, scalarSize))
}

func timesG(n *big.Int) *nistec.P256Point {
	p, err := nistec.NewP256Point().ScalarBaseMult(scalar(n))
	if err != nil {
		panic(err)
	}
	return p
}

func times(p *nistec.P256Point, n *big.Int) *nistec.P256Point {
	q, err := nistec.NewP256Point().ScalarMult(p, scalar(n))
	if err != nil {
		panic(err)
	}
	return q
}

func public(t testing.TB, p *nistec.P256Point) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), p.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func concat(r, s *big.Int) []byte {
	return append(r.FillBytes(make([]byte, scalarSize)), s.FillBytes(make([]byte, scalarSize))...)
}

// standard is what the standard library says of a signature as a JWS has it.
func standard(key *ecdsa.PublicKey, digest, sig []byte) bool {
	return len(sig) == 64 && ecdsa.Verify(key, digest, new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

// agreeP256 checks that crypto/ecdsa says the same, and returns what both say.
func agreeP256(t *testing.T, tab *table, key *ecdsa.PublicKey, digest [32]byte, sig []byte) bool {
	t.Helper()
	valid := tab.verify(digest, sig)
	if want := standard(key, digest[:], sig); valid != want {
		point, _ := key.Bytes()
		t.Fatalf("%v, the standard library says %v\nkey %x\ndigest %x\nsignature %x", valid, want, point, digest, sig)
	}
	return valid
}

func tableOf(t testing.TB, key *ecdsa.PublicKey) *table {
	t.Helper()
	point, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return newTable(point)
}

func TestP256AgainstStandard(t *testing.T) {
	random := random(t)
	keys, rounds := 20, 100
	if testing.Short() {
		keys, rounds = 3, 10
	}
	for range keys {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tab, otherTab := tableOf(t, &key.PublicKey), tableOf(t, &other.PublicKey)
		for range rounds {
			digest := [32]byte(bytesOf(random, 32))
			r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			// n-s is as good as s: ECDSA signatures come in pairs.
			for _, s := range []*big.Int{s, new(big.Int).Sub(order, s)} {
				sig := concat(r, s)
				if !agreeP256(t, tab, &key.PublicKey, digest, sig) {
					t.Fatal("a good signature is refused")
				}
				if agreeP256(t, tab, &key.PublicKey, digest, flip(random, sig)) ||
					agreeP256(t, tab, &key.PublicKey, digest, bytesOf(random, 64)) ||
					agreeP256(t, tab, &key.PublicKey, digest, concat(s, r)) ||
					agreeP256(t, otherTab, &other.PublicKey, digest, sig) {
					t.Fatal("a wrong signature is accepted")
				}
				agreeP256(t, tab, &key.PublicKey, [32]byte(flip(random, digest[:])), sig)
			}
		}
	}
}

func TestP256NumbersAtTheEdge(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tab := tableOf(t, &key.PublicKey)
	edges := []*big.Int{
		number(0), number(1), number(2), new(big.Int).Sub(order, number(1)), order, new(big.Int).Add(order, number(1)),
		elliptic.P256().Params().P, new(big.Int).Sub(new(big.Int).Lsh(number(1), 256), number(1)),
	}
	for _, r := range edges {
		for _, s := range edges {
			for _, e := range edges {
				digest := [32]byte(e.FillBytes(make([]byte, 32)))
				if agreeP256(t, tab, &key.PublicKey, digest, concat(r, s)) {
					t.Errorf("r = %x, s = %x, e = %x is accepted", r, s, e)
				}
			}
		}
	}
}

// solve finds the key for which (r, s) is a signature of the digest e that leads to R.
func solve(t testing.TB, at *nistec.P256Point, r, s, e *big.Int) *ecdsa.PublicKey {
	t.Helper()
	// Q = (s·R - e·G) / r
	q := times(at, s)
	q.Add(q, timesG(new(big.Int).Neg(e)))
	return public(t, times(q, inverse(r)))
}

// pointAt returns a point whose x coordinate is the first from x on that has one.
func pointAt(t testing.TB, x *big.Int) (*nistec.P256Point, *big.Int) {
	t.Helper()
	for x = new(big.Int).Set(x); ; x.Add(x, number(1)) {
		p, err := nistec.NewP256Point().SetBytes(append([]byte{2}, x.FillBytes(make([]byte, 32))...))
		if err == nil {
			return p, x
		}
	}
}

// The x coordinate of R is taken modulo n, which is less than p.
func TestP256CoordinateAboveTheOrder(t *testing.T) {
	at, x := pointAt(t, new(big.Int).Add(order, number(1)))
	if x.Cmp(elliptic.P256().Params().P) >= 0 {
		t.Fatal("no such point")
	}
	r, s, digest := new(big.Int).Sub(x, order), number(7), sha256.Sum256([]byte("message"))
	key := solve(t, at, r, s, new(big.Int).SetBytes(digest[:]))
	tab := tableOf(t, key)
	if !agreeP256(t, tab, key, digest, concat(r, s)) {
		t.Error("a good signature is refused")
	}
	if agreeP256(t, tab, key, digest, concat(x, s)) {
		t.Error("r above the order is accepted")
	}
}

// r and s have one form only: r+n and s+n, where they fit, are refused.
func TestP256RangeOfRAndS(t *testing.T) {
	at, r := pointAt(t, number(1))
	s, digest := number(7), sha256.Sum256([]byte("message"))
	key := solve(t, at, r, s, new(big.Int).SetBytes(digest[:]))
	tab := tableOf(t, key)
	if !agreeP256(t, tab, key, digest, concat(r, s)) {
		t.Error("a good signature is refused")
	}
	above := func(n *big.Int) *big.Int { return new(big.Int).Add(n, order) }
	for name, sig := range map[string][]byte{
		"r+n": concat(above(r), s), "s+n": concat(r, above(s)), "both": concat(above(r), above(s)),
		"empty": nil, "32 bytes": concat(r, s)[:32], "63 bytes": concat(r, s)[1:], "a zero in front": append([]byte{0}, concat(r, s)...),
		"a zero between": slices.Insert(concat(r, s), 32, 0), "a zero behind": append(concat(r, s), 0),
	} {
		if agreeP256(t, tab, key, digest, sig) {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestP256Sums chooses u and v in R = u·G + v·Q, and Q = d·G, such that the sum meets
// doubling, cancelling, infinity, and digits that are zero or need a carry.
func TestP256Sums(t *testing.T) {
	power := func(n uint) *big.Int { return new(big.Int).Lsh(number(1), n) }
	minus := func(n *big.Int) *big.Int { return new(big.Int).Sub(order, n) }
	multipliers := []*big.Int{
		number(0), number(1), number(2), number(5), number(31), number(32), number(33), number(63), number(64), number(65), number(69),
		number(63 << 6), number(33 | 32<<6), power(60), power(251), power(252), power(255), minus(number(1)), minus(number(5)),
		minus(number(64)), new(big.Int).Rsh(order, 1), new(big.Int).Sub(power(255), number(1)), new(big.Int).Sub(power(252), number(1)),
	}
	valid, infinite := 0, 0
	for _, d := range []*big.Int{number(1), minus(number(1)), number(2), minus(number(2)), number(64), minus(number(64)), number(5), inverse(number(3))} {
		key := public(t, timesG(d))
		tab := tableOf(t, key)
		for _, u := range multipliers {
			for _, v := range multipliers[1:] {
				sum := new(big.Int).Add(u, product(v, d))
				at := timesG(sum)
				r := number(12345) // any, where there is no point
				x, err := at.BytesX()
				if err == nil {
					r.SetBytes(x)
					r.Mod(r, order)
				}
				s := product(r, inverse(v))
				digest := [32]byte(scalar(product(u, s)))
				agreed := agreeP256(t, tab, key, digest, concat(r, s))
				if agreed != (err == nil) {
					t.Errorf("d = %x, u = %x, v = %x: %v", d, u, v, agreed)
				}
				if agreed {
					valid++
				} else {
					infinite++
				}
			}
		}
	}
	if valid == 0 || infinite == 0 {
		t.Errorf("%d valid, %d at infinity: one kind is not tested", valid, infinite)
	}
}

func TestP256Multiples(t *testing.T) {
	random := random(t)
	q := timesG(number(4711))
	tab := tableOf(t, public(t, q))
	for range 2000 {
		n := [scalarSize]byte(scalar(new(big.Int).SetBytes(bytesOf(random, 32))))
		for range random.IntN(20) {
			i := random.IntN(32)
			n[i] = []byte{0, 0xff, 0x80, 0x82, 0x20, 0x08}[random.IntN(6)]
		}
		n[0] &= 0x7f // below the order
		start := timesG(number(int64(random.IntN(3))))
		want := nistec.NewP256Point().Add(start, times(q, new(big.Int).SetBytes(n[:])))
		if tab.addMultiple(start, &n); start.Equal(want) != 1 {
			t.Fatalf("%x·Q is wrong", n)
		}
	}
}

func TestP256Table(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("message")
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := concat(r, s)
	b := &budget{most: 1}
	second := newP256(&key.PublicKey, b)
	first := newP256(&key.PublicKey, b)
	checkTable(t, first, message, sig)
	for range 10 * TableAfter {
		if _, decided := second.Verify(message, sig); decided {
			t.Fatal("there are more tables than allowed")
		}
	}
	runtime.KeepAlive(first)
	// The first key is gone now, and with it its table.
	for range 100 {
		runtime.GC()
		for range TableAfter {
			if _, decided := second.Verify(message, sig); decided {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the table of a key that is gone still counts")
}

// checkTable checks that k decides from the TableAfter-th signature on.
func checkTable(t *testing.T, k *P256, message, sig []byte) {
	t.Helper()
	for i := 1; i < TableAfter; i++ {
		if _, decided := k.Verify(message, sig); decided {
			t.Fatalf("decided at signature %d", i)
		}
	}
	if valid, decided := k.Verify(message, sig); !valid || !decided {
		t.Errorf("signature %d: valid %v, decided %v", TableAfter, valid, decided)
	}
	if valid, decided := k.Verify([]byte("another"), sig); valid || !decided {
		t.Errorf("another message: valid %v, decided %v", valid, decided)
	}
}

// Many at once make one table and no wrong answer.
func TestP256Together(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("message")
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	sig, b := concat(r, s), &budget{most: 10}
	k := newP256(&key.PublicKey, b)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if valid, decided := k.Verify(message, sig); decided && !valid {
					t.Error("a good signature is refused")
				}
			}
		})
	}
	all.Wait()
	if n := b.tables.Load(); n != 1 {
		t.Errorf("%d tables were made", n)
	}
}

func TestNewP256Takes(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k := NewP256(&key.PublicKey)
		if _, decided := k.Verify(nil, nil); k != nil || decided {
			t.Errorf("%s is taken", curve.Params().Name)
		}
	}
}
