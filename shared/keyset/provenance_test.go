package keyset_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// A key set counts for the settings it was fetched under, and for no others.
func TestSourcesBelongToSettings(t *testing.T) {
	const named, found = "https://keys.test/named", "https://keys.test/found"
	base := &pb.Issuer{
		Id: "idp", Issuer: "https://idp.test", Discovery: true, Keys: &pb.Keys{JwksUrls: []string{named}},
		Meta: &pb.Meta{Version: 2, UpdatedAt: timestamppb.New(timestamppb.Now().AsTime())},
	}
	changed := base.GetMeta().GetUpdatedAt().GetSeconds()
	source := func(url string, discovered bool) *pb.KeySet_Source {
		return &pb.KeySet_Source{Url: url, FetchedAt: &timestamppb.Timestamp{Seconds: changed + 1}, FetchedUnder: keyset.FetchedUnder(base, discovered)}
	}
	old := func(url string, at int64) *pb.KeySet_Source {
		return &pb.KeySet_Source{Url: url, FetchedAt: &timestamppb.Timestamp{Seconds: at}}
	}
	same := func(*pb.Issuer) {}
	renamed := func(i *pb.Issuer) { i.Issuer = "https://other.test" }
	for _, c := range []struct {
		name   string
		source *pb.KeySet_Source
		change func(*pb.Issuer)
		want   bool
	}{
		{"named", source(named, false), same, true},
		{"named, timing changed", source(named, false), func(i *pb.Issuer) { i.Jwks = &pb.JwksSettings{Ttl: durationpb.New(60e9)} }, true},
		{"named, another URL beside it", source(named, false), func(i *pb.Issuer) { i.Keys.JwksUrls = append(i.Keys.JwksUrls, "https://x.test") }, true},
		{"named, no discovery any more", source(named, false), func(i *pb.Issuer) { i.Discovery = false }, true},
		{"named, renamed", source(named, false), renamed, false},
		{"named, other roots", source(named, false), func(i *pb.Issuer) { i.Jwks = &pb.JwksSettings{CaPem: "x"} }, false},
		{"not named any more", source(named, false), func(i *pb.Issuer) { i.Keys = nil }, false},
		{"discovered", source(found, true), same, true},
		{"discovered, renamed", source(found, true), renamed, false},
		{"discovered, other roots", source(found, true), func(i *pb.Issuer) { i.Jwks = &pb.JwksSettings{CaPem: "x"} }, false},
		{"discovered, metadata elsewhere", source(found, true), func(i *pb.Issuer) { i.MetadataUrl = "https://other.test" }, false},
		{"named, metadata elsewhere", source(named, false), func(i *pb.Issuer) { i.MetadataUrl = "https://other.test" }, true},
		{"discovered, other metadata", source(found, true), func(i *pb.Issuer) { i.Metadata = pb.Issuer_OAUTH }, false},
		{"named, other metadata", source(named, false), func(i *pb.Issuer) { i.Metadata = pb.Issuer_OAUTH }, true},
		{"discovered, metadata elsewhere", source(found, true), func(i *pb.Issuer) { i.MetadataUrl = "https://other.test/m" }, false},
		{"discovered, no discovery any more", source(found, true), func(i *pb.Issuer) { i.Discovery = false }, false},
		{"discovered, now named only", source(found, true), func(i *pb.Issuer) { i.Discovery, i.Keys.JwksUrls = false, []string{found} }, false},
		{"of other settings", &pb.KeySet_Source{Url: named, FetchedUnder: "x"}, same, false},

		{"old, named", old(named, changed-1), same, true},
		{"old, discovered after the last change", old(found, changed), same, true},
		{"old, discovered before the last change", old(found, changed-1), same, false},
		{"old, discovered, never changed", old(found, changed-1), func(i *pb.Issuer) { i.Meta.Version = 1 }, true},
		{"old, neither named nor discovered", old(found, changed), func(i *pb.Issuer) { i.Discovery = false }, false},
	} {
		i := proto.CloneOf(base)
		c.change(i)
		if got := len(keyset.Sources(i, &pb.KeySet{Sources: []*pb.KeySet_Source{c.source}})) == 1; got != c.want {
			t.Errorf("%s: counts %v, want %v", c.name, got, c.want)
		}
	}
}

// A setting of how keys are fetched that is added belongs into FetchedUnder, or to
// those here that say nothing about whose keys they are.
func TestEverySettingOfFetchesIsKnown(t *testing.T) {
	known := map[protoreflect.FullName]string{
		"portcullis.v1.JwksSettings.ttl":             "when",
		"portcullis.v1.JwksSettings.timeout":         "when",
		"portcullis.v1.JwksSettings.max_stale":       "when",
		"portcullis.v1.JwksSettings.ca_pem":          "in FetchedUnder",
		"portcullis.v1.JwksSettings.bearer_token":    "who asks",
		"portcullis.v1.JwksSettings.client_cert_pem": "who asks",
		"portcullis.v1.JwksSettings.client_key":      "who asks",
		"portcullis.v1.Keys.jwks_urls":               "the source's url",
		"portcullis.v1.Keys.pem":                     "not fetched",
		"portcullis.v1.Keys.hmac_secrets":            "not fetched",
		"portcullis.v1.Keys.jwks":                    "not fetched",
	}
	for _, m := range []proto.Message{&pb.JwksSettings{}, &pb.Keys{}} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			if name := fields.Get(i).FullName(); known[name] == "" {
				t.Errorf("%s: does it say whose keys a URL holds? Then FetchedUnder must know it", name)
			}
		}
	}
}
