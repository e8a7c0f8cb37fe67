package authn_test

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func BenchmarkHit(b *testing.B) {
	a, r := authn.New(authn.Config{}), ring(b)
	compact := first().sign(b, nil, claims(object{"scope": "orders.read orders.write", "tenant": "acme"}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Token(r, compact, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHitParallel(b *testing.B) {
	a, r := authn.New(authn.Config{}), ring(b)
	compact := first().sign(b, nil, claims())
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.Token(r, compact, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkMiss(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA", "HS256"} {
		b.Run(alg, func(b *testing.B) {
			p := newPair(alg, "k1")
			i, set := issuer(), (*pb.KeySet)(nil)
			if alg == "HS256" {
				i.Keys = &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Value{Value: secret}}}}
			} else {
				set = fetched(b, now+1000, p)
			}
			r := authn.NewKeyring([]*authn.Issuer{compile(b, i, set)})
			a := authn.New(authn.Config{})
			compact := p.sign(b, nil, claims(object{"scope": "orders.read orders.write", "tenant": "acme"}))
			b.ReportAllocs()
			for b.Loop() {
				if _, failure := a.Explain(r, compact, now); failure.Denial != nil {
					b.Fatal(failure)
				}
			}
		})
	}
}
