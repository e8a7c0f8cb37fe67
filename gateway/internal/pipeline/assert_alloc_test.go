//go:build !race

package pipeline_test

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
)

func TestSignedJWTAllocatesOnce(t *testing.T) {
	w := signing(t, "")
	r, d := get("/orders"), &pipeline.Decision{}
	r.Header = &adapter{authorization: []byte(bearer()[len("Authorization: "):])}
	n := testing.AllocsPerRun(100, func() {
		if err := w.pipeline.Decide(w.view, r, d); err != nil || len(d.Forward.Set) != 1 {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a repeated token", n)
	}
}
