package catalog

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Every kind of the schema has its entry in each table of this package.
func TestEveryKindHasItsEntries(t *testing.T) {
	values := pb.Kind(0).Descriptor().Values()
	for i := range values.Len() {
		v := values.Get(i)
		k := pb.Kind(v.Number())
		if k == pb.Kind_KIND_UNSPECIFIED {
			continue
		}
		if !known(k) {
			t.Errorf("%s has no entry in the table kinds (shared/catalog/kind.go)", v.Name())
			continue
		}
		if int(k) >= len(indexes) || indexes[k].understand == nil || indexes[k].relate == nil {
			t.Errorf("%s has no entry in the table indexes (shared/catalog/indexes.go)", v.Name())
		}
		want := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(string(v.Name()), "KIND_")), "_", "-")
		if kinds[k].slug != want {
			t.Errorf("%s is called %q in references, want %q", v.Name(), kinds[k].slug, want)
		}
		if name := strings.ToLower(KindName(k)); name != strings.ReplaceAll(want, "-", "") {
			t.Errorf("the message of %s is %s", v.Name(), KindName(k))
		}
		r := New(k)
		Identify(r, "x", &pb.Meta{Version: 7})
		if KindOf(r) != k || r.GetId() != "x" || r.GetMeta().GetVersion() != 7 {
			t.Errorf("%s: a message of kind %s keeps id %q and meta %v", v.Name(), KindOf(r), r.GetId(), r.GetMeta())
		}
		if KindByName(KindName(k)) != k || KindByCollection(Collection(k)) != k {
			t.Errorf("%s is not found by its name or collection", v.Name())
		}
	}
	if len(indexes) != len(kinds) {
		t.Errorf("the table indexes has %d entries, kinds has %d", len(indexes), len(kinds))
	}
	if KindOf(nil) != pb.Kind_KIND_UNSPECIFIED || New(99) != nil || KindSlug(99) != "unknown" || Collection(0) != "" {
		t.Error("what is of no kind has one")
	}
}

// A field that is added to pb.Revocation must be looked at: does it change which
// tokens are revoked? Then Revocations must know it.
func TestEveryFieldOfRevocationIsKnown(t *testing.T) {
	known := map[protoreflect.Name]string{
		"issuer": "read", "jti": "read", "token_sha256": "read", "client_id": "read", "subject": "read",
		"issued_before": "read", "expires_at": "read",
		"id": "of the change", "meta": "of the change", "reason": "for people",
	}
	d := (&pb.Revocation{}).ProtoReflect().Descriptor()
	for i := range d.Fields().Len() {
		if name := d.Fields().Get(i).Name(); known[name] == "" {
			t.Errorf("Revocation has a field %s, which shared/catalog/revocations.go does not know", name)
		}
	}
}
