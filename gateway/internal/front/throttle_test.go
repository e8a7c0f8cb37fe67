package front

import (
	"strconv"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

func TestThrottle(t *testing.T) {
	th := newThrottle(2)
	admitted := 0
	for range 5 {
		if th.admit(lineKind{"a", cause.Audience}) {
			admitted++
		}
	}
	if !th.admit(lineKind{"a", cause.Scope}) || !th.admit(lineKind{"b", cause.Audience}) || admitted != 2 {
		t.Errorf("%d lines of one kind, or kinds share their lines", admitted)
	}
	left := th.take()
	if len(left) != 1 || left[lineKind{"a", cause.Audience}] != 3 {
		t.Errorf("left out: %v", left)
	}
	if !th.admit(lineKind{"a", cause.Audience}) {
		t.Error("the next second has no line")
	}
	// Paths and hosts of nobody's make no kinds, but many Apis do.
	for i := range 2 * maxThrottled {
		th.admit(lineKind{strconv.Itoa(i), cause.Audience})
	}
	if len(th.seen) > maxThrottled+1 {
		t.Errorf("%d kinds are counted", len(th.seen))
	}
	if unbounded := newThrottle(0); !unbounded.admit(lineKind{}) || len(unbounded.seen) != 0 {
		t.Error("0 bounds")
	}
}
