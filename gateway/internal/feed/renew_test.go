package feed

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// A key set that was fetched again and is the same keeps the compiled issuer, and
// so the tokens that were validated under it.
func TestRenewedKeySetKeepsTheIssuer(t *testing.T) {
	const url = "https://idp.test/jwks"
	s, err := rules.FromResources([]catalog.Resource{
		&pb.Issuer{Id: "idp", Issuer: "https://idp.test", Keys: &pb.Keys{JwksUrls: []string{url}}},
	}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pool := fast.NewPool()
	defer pool.Close()
	c := &Compiler{Upstreams: pool.Prepare}
	c.Compile(s, nil, nil)
	compiled := func(kid string, until int64) any {
		t.Helper()
		set := &pb.KeySet{Id: "idp", Sources: []*pb.KeySet_Source{{
			Url: url, UsableUntil: &timestamppb.Timestamp{Seconds: until},
			Jwks: `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"` + kid + `","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		}}}
		view, faults := c.Compile(s, []Touch{{Ref: catalog.Ref{Kind: pb.Kind_KIND_KEY_SET, ID: "idp"}}}, map[string]*pb.KeySet{"idp": set})
		issuer, ok := view.Keyring.Issuer("https://idp.test")
		if len(faults) > 0 || !ok {
			t.Fatalf("faults %v", faults)
		}
		return issuer
	}
	first := compiled("a", 2_000_000_000)
	if compiled("a", 2_000_000_100) != first {
		t.Error("the same keys make another issuer")
	}
	rotated := compiled("b", 2_000_000_200)
	if rotated == first {
		t.Error("other keys make the same issuer")
	}
	if compiled("b", 2_000_000_100) == rotated {
		t.Error("keys that may be used for less time make the same issuer")
	}
}
