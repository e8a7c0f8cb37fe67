package discovery_test

import (
	"slices"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/discovery"
)

func TestURLs(t *testing.T) {
	for name, tt := range map[string]struct {
		issuer *pb.Issuer
		want   []string
	}{
		"either": {
			&pb.Issuer{Issuer: "https://idp.test"},
			[]string{"https://idp.test/.well-known/openid-configuration", "https://idp.test/.well-known/oauth-authorization-server"},
		},
		"either, with a path": {
			&pb.Issuer{Issuer: "https://idp.test:8443/a/b/"},
			[]string{"https://idp.test:8443/a/b/.well-known/openid-configuration", "https://idp.test:8443/.well-known/oauth-authorization-server/a/b"},
		},
		"OpenID": {
			&pb.Issuer{Issuer: "https://idp.test/", Metadata: pb.Issuer_OPENID},
			[]string{"https://idp.test/.well-known/openid-configuration"},
		},
		"OAuth": {
			&pb.Issuer{Issuer: "https://idp.test/a", Metadata: pb.Issuer_OAUTH},
			[]string{"https://idp.test/.well-known/oauth-authorization-server/a"},
		},
		"as written": {
			&pb.Issuer{Issuer: "https://idp.test", MetadataUrl: "https://other.test/x?policy=y"},
			[]string{"https://other.test/x?policy=y"},
		},
	} {
		if got := discovery.URLs(tt.issuer); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
