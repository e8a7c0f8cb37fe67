//go:build !race

package pipeline_test

import (
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
)

func TestSubscriptionClaimAllocatesNothing(t *testing.T) {
	w := newWorld(t, wso2, api, plan("a", "JWT", "jwt: {issuers: [wso2]}"))
	for _, claim := range []string{listed, unlisted} {
		r, d := get("/orders"), &pipeline.Decision{}
		r.Header = &adapter{authorization: []byte(strings.TrimPrefix(listing(claim), "Authorization: "))}
		if n := testing.AllocsPerRun(100, func() { _ = w.pipeline.Decide(w.view, r, d) }); n != 0 {
			t.Errorf("%s: %v allocations", claim, n)
		}
	}
}
