package reference_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// The example of all resources is valid and speaks of every field.
func TestResourcesPage(t *testing.T) {
	page := filepath.Join(root, "docs", "resources.yaml")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := resource.DecodeYAML("resources.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]catalog.Resource, len(docs))
	for i, d := range docs {
		all[i] = d.Resource
	}
	if _, err := rules.FromResources(all, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range catalog.UserKinds() {
		fields(catalog.New(kind).ProtoReflect().Descriptor(), func(f protoreflect.FieldDescriptor) {
			if !strings.Contains(string(text), string(f.Name())) {
				t.Errorf("%s is not shown", f.FullName())
			}
		})
	}
}

// fields visits the fields that users set.
func fields(m protoreflect.MessageDescriptor, visit func(protoreflect.FieldDescriptor)) {
	outputOnly := map[protoreflect.Name]bool{"meta": true, "portal_state": true, "revision": true, "stopped": true, "out_of_sync": true}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if outputOnly[f.Name()] || schema.IsInternal(f) {
			continue
		}
		visit(f)
		if f.Message() != nil && strings.HasPrefix(string(f.Message().FullName()), "portcullis.") && f.Message().Name() != "ByteSize" {
			fields(f.Message(), visit)
		}
	}
}
