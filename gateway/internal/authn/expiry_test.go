package authn_test

import (
	"errors"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// The zero date is a date. It must not be taken for none.
func TestTokenThatEndedWhenTimeBegan(t *testing.T) {
	a := authn.New(authn.Config{})
	for range 2 {
		if _, err := a.Token(ring(t), first().sign(t, nil, claims(object{"exp": 0})), now); !errors.Is(err, denial.TokenExpired) {
			t.Errorf("got %v", err)
		}
	}
}
