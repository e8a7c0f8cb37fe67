package rest

import (
	"slices"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Every kind of the schema has its filters, and /openapi.yaml describes them.
func TestEveryKindHasItsFilters(t *testing.T) {
	t.Parallel()
	doc := embedded(t)
	values := pb.Kind(0).Descriptor().Values()
	for i := range values.Len() {
		v := values.Get(i)
		kind := pb.Kind(v.Number())
		if kind == pb.Kind_KIND_UNSPECIFIED {
			continue
		}
		if int(kind) >= len(filters) {
			t.Errorf("%s has no entry in the table filters (keymanager-sync/internal/rest/filter.go)", v.Name())
		}
		path := doc.Paths.Value("/v1/" + catalog.Collection(kind))
		if path == nil || path.Get == nil {
			t.Errorf("%s has no path in keymanager-sync/internal/rest/openapi/operations.yaml", v.Name())
			continue
		}
		var described []string
		for _, p := range path.Get.Parameters {
			if p.Ref == "" { // the others are those of all listings
				described = append(described, p.Value.Name)
			}
		}
		if want := filterNames(kind); !slices.Equal(described, want) {
			t.Errorf("/openapi.yaml describes the filters %q of %s, want %q", described, catalog.Collection(kind), want)
		}
	}
}
