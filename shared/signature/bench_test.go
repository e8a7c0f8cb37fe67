package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"testing"
)

// BenchmarkVerify compares with the standard library. The message has the length of
// a usual token's.
func BenchmarkVerify(b *testing.B) {
	message := make([]byte, 300)
	digest := sha256.Sum256(message)
	run := func(name string, verify func() bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !verify() {
					b.Fatal("refused")
				}
			}
		})
	}
	rsaKey := rsaKeys()[0]
	sig, k := rsaKey.sign(crypto.SHA256, message), NewRSA(rsaKey.public)
	run("RS256/standard", func() bool {
		return rsa.VerifyPKCS1v15(rsaKey.public, crypto.SHA256, digestOf(crypto.SHA256, message), sig) == nil
	})
	run("RS256/kept", func() bool { valid, _ := k.Verify(crypto.SHA256, message, sig); return valid })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	sig = concat(r, s)
	p := NewP256(&key.PublicKey)
	for range TableAfter {
		p.Verify(message, sig)
	}
	run("ES256/standard", func() bool { return standard(&key.PublicKey, digestOf(crypto.SHA256, message), sig) })
	run("ES256/kept", func() bool { valid, _ := p.Verify(message, sig); return valid })
	point, err := key.PublicKey.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	run("ES256/table", func() bool { return newTable(point) != nil })
}
