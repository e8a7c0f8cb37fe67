package rest

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

// TestDocumentHasEveryRoute compares the server's table of addresses with the
// document, both ways: the verbs of each kind are among the addresses.
func TestDocumentHasEveryRoute(t *testing.T) {
	t.Parallel()
	server := map[string][]string{"/metrics": {http.MethodGet}}
	for pattern, m := range new(Server).addresses() {
		server[pattern] = slices.Sorted(maps.Keys(m))
	}
	documented := make(map[string][]string)
	for path, item := range embedded(t).Paths.Map() {
		documented[path] = slices.Sorted(maps.Keys(item.Operations()))
	}
	if d := cmp.Diff(server, documented); d != "" {
		t.Errorf("the server has (-), the document has (+):\n%s", d)
	}
}

func embedded(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openapiDocument)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
