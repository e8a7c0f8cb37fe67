package rules

import (
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Every kind of the schema has its entry in the table.
func TestEveryKindHasItsEntry(t *testing.T) {
	values := pb.Kind(0).Descriptor().Values()
	for i := range values.Len() {
		v := values.Get(i)
		if int(v.Number()) >= len(kinds) {
			t.Errorf("%s has no entry in the table kinds (shared/rules/kind.go)", v.Name())
			continue
		}
		if k := kinds[v.Number()]; len(k.verbs) > 0 != (k.step != nil) {
			t.Errorf("%s has verbs and nothing that carries them out, or the other way round", v.Name())
		}
	}
}
