//go:build !race

package front

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

func TestKeepingARefusalAllocatesNothing(t *testing.T) {
	r, call := NewRefusals(1), new(Call)
	call.Exchange.Request.Path = []byte("/orders/1")
	refused := denial.InvalidToken.Because(cause.Audience)
	if n := testing.AllocsPerRun(100, func() { r.add(call, 401, refused) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
