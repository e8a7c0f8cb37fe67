//go:build !race

package authn_test

import (
	"errors"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

func TestHitDoesNotAllocate(t *testing.T) {
	a, r := authn.New(authn.Config{}), ring(t)
	good := first().sign(t, nil, claims())
	bad := second().sign(t, object{"kid": "k1"}, claims())
	key := new(int)
	run := func() {
		token, err := a.Token(r, good, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := token.Recall(key); !ok {
			token.Remember(key, key)
		}
		if _, err := a.Token(r, bad, now); !errors.Is(err, denial.InvalidToken) {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
