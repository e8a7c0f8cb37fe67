package authn_test

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

func TestSimultaneousMissesShareOneValidation(t *testing.T) {
	for name, c := range map[string]struct {
		compact []byte
		want    error
	}{
		"good": {first().sign(t, nil, claims()), nil},
		"bad":  {second().sign(t, object{"kid": "k1"}, claims()), denial.InvalidToken},
	} {
		a, r := authn.New(authn.Config{}), ring(t)
		release := a.Occupy()
		var requests sync.WaitGroup
		for range 1000 {
			requests.Go(func() {
				if _, err := a.Token(r, bytes.Clone(c.compact), now); !errors.Is(err, c.want) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		for a.Stats().Misses < 1000 {
			runtime.Gosched()
		}
		release()
		requests.Wait()
		if got := a.Stats().Validations; got != 1 {
			t.Errorf("%s: %d validations of one token", name, got)
		}
	}
}

// Requests that see different keyrings do not share an outcome.
func TestSimultaneousMissesOfTwoKeyrings(t *testing.T) {
	a, mine := authn.New(authn.Config{}), ring(t)
	other := authn.NewKeyring([]*authn.Issuer{compile(t, issuer(), fetched(t, now+1000, second()))})
	compact := first().sign(t, nil, claims())
	release := a.Occupy()
	var requests sync.WaitGroup
	for i := range 100 {
		requests.Go(func() {
			if i%2 == 0 {
				if _, err := a.Token(mine, compact, now); err != nil {
					t.Errorf("good: %v", err)
				}
				return
			}
			if _, err := a.Token(other, compact, now); !errors.Is(err, denial.InvalidToken) {
				t.Errorf("under the other keyring: %v", err)
			}
		})
	}
	for a.Stats().Misses < 100 {
		runtime.Gosched()
	}
	release()
	requests.Wait()
}
