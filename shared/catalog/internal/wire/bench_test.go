package wire

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// BenchmarkRead reads the change of a subscription as this package does, and as
// messages.
func BenchmarkRead(b *testing.B) {
	raw := encoded(b, &pb.Change{
		Kind: pb.Kind_KIND_SUBSCRIPTION, Id: "sub-000123-4", Version: 3, CreatedAt: 1_700_000_000, UpdatedAt: 1_700_000_001,
		Resource: encoded(b, &pb.Subscription{Application: "app-000123", Plan: "plan-017", Status: pb.Subscription_ACCEPTED}),
	})
	text := string(raw)
	b.Run("wire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, err := ReadChange(text)
			if err != nil {
				b.Fatal(err)
			}
			if s, err := ReadSubscription(c.Resource); err != nil || s.Plan != "plan-017" {
				b.Fatal(s, err)
			}
		}
	})
	b.Run("messages", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var c pb.Change
			var s pb.Subscription
			if err := proto.Unmarshal(raw, &c); err != nil {
				b.Fatal(err)
			}
			if err := proto.Unmarshal(c.GetResource(), &s); err != nil || s.GetPlan() != "plan-017" {
				b.Fatal(&s, err)
			}
		}
	})
}
