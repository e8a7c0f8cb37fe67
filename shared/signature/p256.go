package signature

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/sha256"
	"math/big"
	"runtime"
	"sync"
	"sync/atomic"

	"filippo.io/nistec"
)

const (
	// MaxTables is how many P-256 keys of the process have a table at one time. A
	// table takes 139 kB.
	MaxTables = 64
	// TableAfter is the signature at which a key gets its table, which takes as long
	// as some 20 signatures without one. While there are MaxTables of them, each so
	// many signatures it is asked for again.
	TableAfter = 16
)

// budget counts tables.
type budget struct {
	tables atomic.Int64
	most   int64
}

var ofProcess = &budget{most: MaxTables} //nolint:gochecknoglobals // the memory of one process, for all who verify in it

func (b *budget) take() bool {
	if b.tables.Add(1) <= b.most {
		return true
	}
	b.tables.Add(-1)
	return false
}

func (b *budget) giveBack() { b.tables.Add(-1) }

// P256 verifies the signatures of one P-256 key. It is safe for concurrent use.
type P256 struct {
	point  []byte // uncompressed
	budget *budget
	uses   atomic.Int64
	mu     sync.Mutex // held while the table is made
	table  atomic.Pointer[table]
}

// NewP256 prepares a key; nil if it is of another curve or not on its curve.
func NewP256(public *ecdsa.PublicKey) *P256 { return newP256(public, ofProcess) }

func newP256(public *ecdsa.PublicKey, b *budget) *P256 {
	if fips140.Enabled() || public.Curve != elliptic.P256() {
		return nil
	}
	point, err := public.Bytes()
	if err != nil {
		return nil
	}
	return &P256{point: point, budget: b}
}

// Verify reports whether signature, r and s of 32 bytes each (RFC 7518 section 3.4),
// is that of the SHA-256 of the message signed. It is not decided if k is nil or has
// no table; the TableAfter-th call makes the table.
func (k *P256) Verify(signed, signature []byte) (valid, decided bool) {
	if k == nil {
		return false, false
	}
	t := k.table.Load()
	if t == nil {
		if t = k.prepare(); t == nil {
			return false, false
		}
	}
	digest := sha256.Sum256(signed)
	return t.verify(digest, signature), true
}

// prepare makes the table if it is time to.
func (k *P256) prepare() *table {
	if k.uses.Add(1)%TableAfter != 0 || !k.mu.TryLock() {
		return nil
	}
	defer k.mu.Unlock()
	if t := k.table.Load(); t != nil {
		return t
	}
	if !k.budget.take() {
		return nil
	}
	runtime.AddCleanup(k, (*budget).giveBack, k.budget)
	t := newTable(k.point)
	k.table.Store(t)
	return t
}

const (
	scalarSize = 32
	window     = 6                                      // bits of a digit
	digits     = (8*scalarSize + window - 1) / window   // of a scalar
	multiples  = 1 << (window - 1)                      // the largest digit
	_          = uint(digits*window - 8*scalarSize - 1) // the first digit has room for a carry
)

// table holds, for digit i and 1 ≤ j ≤ multiples, the point j·2^(window·i)·Q at
// [i][j-1]: any multiple of Q is then a sum of one point, or its negative, of each row.
type table [digits][multiples]nistec.P256Point

// newTable makes the table of a point that is known to be on the curve.
func newTable(point []byte) *table {
	q, err := nistec.NewP256Point().SetBytes(point)
	if err != nil {
		panic("BUG: a P-256 point that was checked: " + err.Error())
	}
	t := new(table)
	for i := range t {
		row := &t[i]
		row[0].Set(q)
		for j := 1; j < multiples; j++ {
			row[j].Add(&row[j-1], q)
		}
		q.Double(&row[multiples-1])
	}
	return t
}

// addMultiple adds scalar·Q to sum.
func (t *table) addMultiple(sum *nistec.P256Point, scalar *[scalarSize]byte) {
	var negative nistec.P256Point
	carry := 0
	for i := range t {
		digit := digitAt(scalar, i) + carry
		if carry = 0; digit > multiples {
			digit -= 1 << window
			carry = 1
		}
		switch {
		case digit > 0:
			sum.Add(sum, &t[i][digit-1])
		case digit < 0:
			sum.Add(sum, negative.Negate(&t[i][-digit-1]))
		}
	}
}

// digitAt returns the i-th lowest digit, from 0 to 2^window-1, of a big-endian scalar.
func digitAt(scalar *[scalarSize]byte, i int) int {
	low := i * window
	at := scalarSize - 1 - low/8
	two := int(scalar[at])
	if at > 0 {
		two |= int(scalar[at-1]) << 8
	}
	return two >> (low % 8) & (1<<window - 1)
}

// verify is FIPS 186-5 section 6.4.2.
func (t *table) verify(digest [sha256.Size]byte, signature []byte) bool {
	if len(signature) != 2*scalarSize {
		return false
	}
	n := elliptic.P256().Params().N
	r := new(big.Int).SetBytes(signature[:scalarSize])
	s := new(big.Int).SetBytes(signature[scalarSize:])
	if r.Sign() == 0 || r.Cmp(n) >= 0 || s.Sign() == 0 || s.Cmp(n) >= 0 {
		return false
	}
	// w = 1/s, u = e·w for G, v = r·w for Q.
	w := new(big.Int).ModInverse(s, n)
	u := new(big.Int).SetBytes(digest[:])
	u.Mod(u.Mul(u, w), n)
	v := w.Mul(r, w)
	v.Mod(v, n)
	var scalar [scalarSize]byte
	sum, err := nistec.NewP256Point().ScalarBaseMult(u.FillBytes(scalar[:]))
	if err != nil {
		return false
	}
	v.FillBytes(scalar[:])
	t.addMultiple(sum, &scalar)
	x, err := sum.BytesX() // an error for the point at infinity
	if err != nil {
		return false
	}
	// The x coordinate may be larger than the group.
	found := u.SetBytes(x)
	return found.Mod(found, n).Cmp(r) == 0
}
