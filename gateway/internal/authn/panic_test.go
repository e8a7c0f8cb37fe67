package authn_test

import (
	"crypto/ecdsa"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
)

// A signature check that panics costs the request that brought it, and no other: the
// place that it had is given back.
func TestPanicInASignatureCheck(t *testing.T) {
	good := compile(t, issuer(), fetched(t, now+1000, first()))
	spoiled := compile(t, issuer(), fetched(t, now+1000, second()))
	for _, key := range spoiled.Keys().Keys() {
		public, ok := key.Material().(*ecdsa.PublicKey)
		if !ok {
			t.Fatalf("a key of type %T", key.Material())
		}
		*public = ecdsa.PublicKey{Curve: public.Curve} // without a point: such as no parser lets through
	}
	a := authn.New(authn.Config{Verifications: 2})
	bad := authn.NewKeyring([]*authn.Issuer{spoiled})
	for i := range 2 { // as many as there are places
		token := second().sign(t, nil, claims(object{"n": i}))
		func() {
			defer func() {
				if recover() == nil {
					t.Fatal("the check does not panic: the test shows nothing")
				}
			}()
			_, _ = a.Token(bad, token, now)
		}()
	}
	done := make(chan error, 1)
	go func() {
		_, err := a.Token(authn.NewKeyring([]*authn.Issuer{good}), first().sign(t, nil, claims()), now)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no signature is checked any more")
	}
}
