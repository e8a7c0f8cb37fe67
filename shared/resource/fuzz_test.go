package resource_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// again checks that what was accepted survives every encoding.
func again(t *testing.T, r catalog.Resource) {
	t.Helper()
	for name, through := range encodings() {
		docs, err := through(r)
		if err != nil || len(docs) != 1 {
			t.Fatalf("%s: %v\n%s", name, err, resource.EncodeJSON(r, resource.WithSecrets()))
		}
		if d := cmp.Diff(r, docs[0].Resource, protocmp.Transform()); d != "" {
			t.Fatalf("%s: %s", name, d)
		}
	}
}

// noHang ends the process when the test does not end in time, so that the fuzzer keeps the input.
func noHang(t *testing.T) (done func()) {
	t.Helper()
	const long = 10 * time.Second
	timer := time.AfterFunc(long, func() { panic("the decoder hangs") })
	return func() { timer.Stop() }
}

func FuzzDecodeYAML(f *testing.F) {
	data, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		f.Add([]byte(doc))
	}
	for _, s := range []string{
		smallYAML, smallJSON, "[" + smallJSON + "," + smallJSON + "]", "kind: Issuer\nkeys: &a {jwks: {a: *a}}",
		"kind: Plan\n<<: {}", "%YAML 1.2\n---\n", "\uFEFF--- !x [\n", "kind: Api\r\n---\rid: \t'", "kind: Api\nname: \"\\ud83d\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer noHang(t)()
		docs, err := resource.DecodeYAML("f", data)
		if err != nil {
			if strings.Contains(err.Error(), "\x00") || docs != nil {
				t.Fatalf("documents %v with error %q", docs, err)
			}
			return
		}
		for _, d := range docs {
			if d.Line < 1 {
				t.Fatalf("line %d", d.Line)
			}
			again(t, d.Resource)
		}
	})
}

func FuzzDecodeJSON(f *testing.F) {
	for _, k := range catalog.UserKinds() {
		f.Add([]byte(`{"id":"a"}`), int32(k))
	}
	for _, s := range []string{
		smallJSON, `{"kind":"Issuer","keys":{"jwks":{"a":[1e400,-0,"\ud83d\ude00",null]}}}`,
		`{"jwt":{"claim_rules":[{"equals":null},{"equals":[{}]}]}}`, `{"upstream":{"max_request_body":"1KiB","connect_timeout":"1h30m"}}`,
		`{"issued_before":"2026-01-01T00:00:00+02:00"}`, `{"a":1,"a":2}`, `{}{}`, "",
	} {
		f.Add([]byte(s), int32(pb.Kind_KIND_UNSPECIFIED))
		f.Add([]byte(s), int32(pb.Kind_KIND_PLAN))
		f.Add([]byte(s), int32(pb.Kind_KIND_API))
	}
	f.Fuzz(func(t *testing.T, data []byte, kind int32) {
		defer noHang(t)()
		r, err := resource.DecodeJSON("f", data, pb.Kind(kind))
		if (r == nil) == (err == nil) {
			t.Fatalf("resource %v with error %v", r, err)
		}
		if err == nil {
			again(t, r)
		}
	})
}
