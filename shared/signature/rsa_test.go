package signature

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// rsaKey signs anything, well-formed or not.
type rsaKey struct {
	public  *rsa.PublicKey
	private *rsa.PrivateKey
}

func newRSAKey(bits, e int) *rsaKey {
	for {
		p, err := rand.Prime(rand.Reader, bits/2)
		if err != nil {
			panic(err)
		}
		q, err := rand.Prime(rand.Reader, bits/2)
		if err != nil {
			panic(err)
		}
		one := big.NewInt(1)
		n := new(big.Int).Mul(p, q)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(int64(e)), phi)
		if d != nil && n.BitLen() == bits {
			public := rsa.PublicKey{N: n, E: e}
			private := &rsa.PrivateKey{PublicKey: public, D: d, Primes: []*big.Int{p, q}}
			private.Precompute()
			return &rsaKey{&public, private}
		}
	}
}

// raw is em^d.
func (k *rsaKey) raw(em []byte) *big.Int {
	pre, p, q := k.private.Precomputed, k.private.Primes[0], k.private.Primes[1]
	c := new(big.Int).SetBytes(em)
	m, mq := new(big.Int).Exp(c, pre.Dp, p), new(big.Int).Exp(c, pre.Dq, q)
	m.Mod(m.Mul(m.Sub(m, mq), pre.Qinv), p)
	return m.Add(m.Mul(m, q), mq)
}

func (k *rsaKey) signEM(em []byte) []byte { return k.raw(em).FillBytes(make([]byte, k.public.Size())) }

func (k *rsaKey) sign(hash crypto.Hash, message []byte) []byte {
	return k.signEM(encode(make([]byte, k.public.Size()), hash, digestOf(hash, message)))
}

func digestOf(hash crypto.Hash, message []byte) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// rsaKeys are made once: they take their time.
var rsaKeys = sync.OnceValue(func() []*rsaKey {
	return []*rsaKey{newRSAKey(2048, 65537), newRSAKey(2048, 3), newRSAKey(3072, 65537), newRSAKey(4096, 3), newRSAKey(2048, 1<<31-1)}
})

var hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

// agreeRSA checks that crypto/rsa says the same, and returns what both say.
func agreeRSA(t *testing.T, k *RSA, public *rsa.PublicKey, hash crypto.Hash, message, sig []byte) bool {
	t.Helper()
	valid, decided := k.Verify(hash, message, sig)
	if !decided {
		t.Fatalf("%v, %d bits, e = %d: not decided", hash, public.N.BitLen(), public.E)
	}
	if want := rsa.VerifyPKCS1v15(public, hash, digestOf(hash, message), sig) == nil; valid != want {
		t.Fatalf("%v, %d bits, e = %d: %v, the standard library says %v\nN %x\nmessage %x\nsignature %x", hash, public.N.BitLen(), public.E, valid, want, public.N, message, sig)
	}
	return valid
}

// flip returns data with some bits changed.
func flip(r *mathrand.Rand, data []byte) []byte {
	changed := slices.Clone(data)
	for n := 1 + r.IntN(3); n > 0 || bytes.Equal(changed, data); n-- {
		changed[r.IntN(len(data))] ^= 1 << r.IntN(8)
	}
	return changed
}

func random(t testing.TB) *mathrand.Rand {
	t.Helper()
	seed := [32]byte{}
	rand.Read(seed[:])
	t.Logf("seed %x", seed)
	return mathrand.New(mathrand.NewChaCha8(seed))
}

func bytesOf(r *mathrand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestRSAAgainstStandard(t *testing.T) {
	r := random(t)
	valid, invalid := 0, 0
	rounds := 250
	if testing.Short() {
		rounds = 10
	}
	for _, key := range rsaKeys() {
		k := NewRSA(key.public)
		for range rounds * 2048 / key.public.N.BitLen() {
			hash := hashes[r.IntN(len(hashes))]
			message := bytesOf(r, 1+r.IntN(300))
			sig := key.sign(hash, message)
			if !agreeRSA(t, k, key.public, hash, message, sig) {
				t.Fatal("a good signature is refused")
			}
			valid++
			other := *key.public
			other.N = new(big.Int).SetBit(other.N, 1+r.IntN(other.N.BitLen()-2), other.N.Bit(1)^1)
			for _, agreed := range []bool{
				agreeRSA(t, k, key.public, hash, message, flip(r, sig)),
				agreeRSA(t, k, key.public, hash, message, bytesOf(r, len(sig))),
				agreeRSA(t, k, key.public, hash, append(message, 0), sig),
				agreeRSA(t, k, key.public, hashes[(slices.Index(hashes, hash)+1)%3], message, sig),
			} {
				if agreed {
					t.Fatal("a changed signature or message is accepted")
				}
				invalid++
			}
			agreeRSA(t, k, key.public, hash, flip(r, message), sig)
			if other.N.Cmp(key.public.N) != 0 && agreeRSA(t, NewRSA(&other), &other, hash, message, sig) {
				t.Fatal("accepted with another key")
			}
		}
	}
	t.Logf("%d valid, %d invalid", valid, invalid)
}

func TestRSANumbersAtTheEdge(t *testing.T) {
	message := []byte("message")
	for _, key := range rsaKeys() {
		k, n := NewRSA(key.public), key.public.N
		for name, s := range map[string]*big.Int{
			"0": new(big.Int), "1": big.NewInt(1), "N-1": new(big.Int).Sub(n, big.NewInt(1)),
			"N": n, "N+1": new(big.Int).Add(n, big.NewInt(1)),
			"2^bits-1": new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(n.BitLen())), big.NewInt(1)),
		} {
			for _, hash := range hashes {
				if agreeRSA(t, k, key.public, hash, message, s.FillBytes(make([]byte, key.public.Size()))) {
					t.Errorf("s = %s is accepted", name)
				}
			}
		}
	}
}

// A signature plus the modulus is the same number modulo it.
func TestRSASignatureAboveTheModulus(t *testing.T) {
	key := rsaKeys()[1]
	k, size := NewRSA(key.public), key.public.Size()
	for i := range 20_000 {
		message := fmt.Append(nil, "message ", i)
		s := new(big.Int).SetBytes(key.sign(crypto.SHA256, message))
		if s.Add(s, key.public.N); s.BitLen() > 8*size {
			continue
		}
		if agreeRSA(t, k, key.public, crypto.SHA256, message, s.FillBytes(make([]byte, size))) {
			t.Fatal("accepted")
		}
		return
	}
	t.Skip("this modulus leaves no room above it")
}

func TestRSALengths(t *testing.T) {
	key := rsaKeys()[0]
	k := NewRSA(key.public)
	message := []byte("message")
	sig := key.sign(crypto.SHA256, message)
	for _, wrong := range [][]byte{
		nil,
		{},
		sig[:len(sig)-1], sig[1:], append([]byte{0}, sig...), append(slices.Clone(sig), 0),
		append(make([]byte, 8), sig...), make([]byte, 1024),
	} {
		if agreeRSA(t, k, key.public, crypto.SHA256, message, wrong) {
			t.Errorf("%d bytes are accepted", len(wrong))
		}
	}
	for i := 0; ; i++ {
		message := fmt.Append(nil, "message ", i)
		sig := key.sign(crypto.SHA256, message)
		if sig[0] != 0 {
			continue
		}
		if !agreeRSA(t, k, key.public, crypto.SHA256, message, sig) || agreeRSA(t, k, key.public, crypto.SHA256, message, sig[1:]) {
			t.Error("a leading zero belongs to the signature")
		}
		return
	}
}

// TestRSAPadding signs what a forger would like to be taken for a good encoding.
func TestRSAPadding(t *testing.T) {
	message := []byte("message")
	for _, key := range rsaKeys() {
		k, size := NewRSA(key.public), key.public.Size()
		for _, hash := range hashes {
			digest := digestOf(hash, message)
			good := encode(make([]byte, size), hash, digest)
			check := func(name string, em []byte, want bool) {
				t.Helper()
				if new(big.Int).SetBytes(em).Cmp(key.public.N) >= 0 {
					return
				}
				if agreeRSA(t, k, key.public, hash, message, key.signEM(em)) != want {
					t.Errorf("%v, %d bytes: %s: not %v", hash, size, name, want)
				}
			}
			check("good", good, true)
			for i := range good {
				if (size > 256 || key.public.E == 3) && i%61 != 0 && i > 3 && i < size-len(digest)-21 {
					continue
				}
				changed := slices.Clone(good)
				changed[i] ^= 1
				check(fmt.Sprint("byte ", i), changed, false)
			}
			for name, em := range badPaddings(good, hash, digest) {
				check(name, em, false)
			}
		}
	}
}

func badPaddings(good []byte, hash crypto.Hash, digest []byte) map[string][]byte {
	size := len(good)
	info := good[size-len(digest)-19:]
	build := func(kind, fill byte, run int, rest []byte) []byte {
		em := make([]byte, size)
		em[1] = kind
		for i := range run {
			em[2+i] = fill
		}
		copy(em[3+run:], rest)
		return em
	}
	pad := func(rest []byte) []byte { return build(1, 0xff, size-3-len(rest), rest) }
	noNull := append([]byte{0x30, info[1] - 2, 0x30, 0x0b}, info[4:15]...)
	noNull = append(append(noNull, info[17:19]...), digest...)
	longForm := append([]byte{0x30, 0x81}, info[1:]...)
	wrongOID, sha1OID := slices.Clone(info), append([]byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}, digest[:20]...)
	wrongOID[14] = info[14]%3 + 1
	parameters := append([]byte{0x30, info[1] + 2, 0x30, 0x0f}, info[4:15]...)
	parameters = append(append(parameters, 0x04, 0x02, 'x', 'y'), append(slices.Clone(info[17:19]), digest...)...)
	shifted := append(slices.Clone(good[1:]), 0)
	other := sha256.Sum256([]byte("other"))
	return map[string][]byte{
		"8 FF, the hash, garbage (Bleichenbacher 2006)": append(build(1, 0xff, 8, info)[:11+len(info)], bytes.Repeat([]byte{0x5a}, size-11-len(info))...),
		"8 FF, the hash, zeros":                         build(1, 0xff, 8, info),
		"no FF, the hash, zeros":                        build(1, 0xff, 0, info),
		"one FF less, a zero behind":                    append(slices.Delete(slices.Clone(good), 2, 3), 0),
		"block type 2":                                  build(2, 0xff, size-3-len(info), info),
		"block type 0":                                  build(0, 0, size-3-len(info), info),
		"padded with AA":                                build(1, 0xaa, size-3-len(info), info),
		"DigestInfo without NULL":                       pad(noNull),
		"other parameters":                              pad(parameters),
		"a length in two bytes":                         pad(longForm),
		"another hash's OID":                            pad(wrongOID),
		"SHA-1":                                         pad(sha1OID),
		"the digest alone":                              pad(digest),
		"no digest":                                     pad(info[:19]),
		"another digest":                                pad(append(slices.Clone(info[:19]), bytes.Repeat(other[:], 2)[:len(digest)]...)),
		"shifted":                                       shifted,
		"all FF":                                        append([]byte{0}, bytes.Repeat([]byte{0xff}, size-1)...),
		"nothing":                                       make([]byte, size),
		"another hash altogether":                       otherHash(size, hash),
	}
}

func otherHash(size int, hash crypto.Hash) []byte {
	sum := sha512.Sum512([]byte("message"))
	if hash == crypto.SHA512 {
		short := sha256.Sum256([]byte("message"))
		return encode(make([]byte, size), crypto.SHA256, short[:])
	}
	return encode(make([]byte, size), crypto.SHA512, sum[:])
}

// TestRSAForgedCubeRoot: with e = 3, a number can be found whose cube begins as a
// good encoding with a short run of FF does. Nobody's private key is needed.
func TestRSAForgedCubeRoot(t *testing.T) {
	key := rsaKeys()[3] // 4096 bits, e = 3
	message := []byte("message")
	digest := digestOf(crypto.SHA256, message)
	good := encode(make([]byte, key.public.Size()), crypto.SHA256, digest)
	em := append([]byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, good[len(good)-51:]...)
	em = append(em, bytes.Repeat([]byte{0xff}, len(good)-len(em))...)
	root := cubeRoot(new(big.Int).SetBytes(em))
	cube := new(big.Int).Exp(root, big.NewInt(3), nil).FillBytes(make([]byte, len(good)))
	if !bytes.Equal(cube[:62], em[:62]) {
		t.Fatal("the forgery is none")
	}
	if agreeRSA(t, NewRSA(key.public), key.public, crypto.SHA256, message, root.FillBytes(make([]byte, len(good)))) {
		t.Error("a forged signature is accepted")
	}
}

// cubeRoot is the largest number whose cube is at most n.
func cubeRoot(n *big.Int) *big.Int {
	root := new(big.Int)
	for bit := n.BitLen()/3 + 1; bit >= 0; bit-- {
		root.SetBit(root, bit, 1)
		if new(big.Int).Exp(root, big.NewInt(3), nil).Cmp(n) > 0 {
			root.SetBit(root, bit, 0)
		}
	}
	return root
}

func TestNewRSATakes(t *testing.T) {
	odd := func(bits uint) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return n.SetBit(n, 0, 1)
	}
	for _, c := range []struct {
		n     *big.Int
		e     int
		taken bool
	}{
		{odd(2048), 65537, true},
		{odd(3072), 3, true},
		{odd(4096), 1<<31 - 1, true},
		{odd(1024), 65537, false},
		{odd(2047), 65537, false},
		{odd(2049), 65537, false},
		{odd(8192), 65537, false},
		{new(big.Int).Lsh(big.NewInt(1), 2047), 65537, false},
		{odd(2048), 1, false},
		{odd(2048), 65536, false},
		{odd(2048), 1<<31 + 1, false},
		{odd(2048), -3, false},
		{new(big.Int), 65537, false},
	} {
		k := NewRSA(&rsa.PublicKey{N: c.n, E: c.e})
		if k != nil != c.taken {
			t.Errorf("%d bits, e = %d: taken %v", c.n.BitLen(), c.e, k != nil)
		}
		if _, decided := k.Verify(crypto.SHA256, nil, nil); decided != c.taken {
			t.Errorf("%d bits, e = %d: decided %v", c.n.BitLen(), c.e, decided)
		}
		if valid, decided := k.Verify(crypto.SHA1, nil, nil); valid || decided {
			t.Error("SHA-1 is decided")
		}
	}
}
