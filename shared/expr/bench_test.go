package expr_test

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/expr"
)

func BenchmarkRequestRule(b *testing.B) {
	rule, err := expr.RequestRule(`!('x-internal' in request.headers)`)
	if err != nil {
		b.Fatal(err)
	}
	in := input()
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := rule.Holds(in); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkClaimRule(b *testing.B) {
	rule, err := expr.ClaimRule(`claims.level >= 2 && claims.tenant.id == 't1'`)
	if err != nil {
		b.Fatal(err)
	}
	in := input()
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := rule.Holds(in); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := expr.RequestRule(`!('x-internal' in request.headers)`); err != nil {
			b.Fatal(err)
		}
	}
}
