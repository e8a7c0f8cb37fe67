package authn_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// newcomer lets a token come once, and then so many others that it is not kept whole.
func newcomer(t *testing.T, a *authn.Authenticator, ring *authn.Keyring, more ...object) (compact []byte) {
	t.Helper()
	compact = first().sign(t, nil, claims(append([]object{{"exp": now + 1000}}, more...)...))
	if _, err := a.Token(ring, compact, now); err != nil {
		t.Fatal(err)
	}
	for i := range 512 {
		if _, err := a.Token(ring, first().sign(t, nil, claims(object{"jti": fmt.Sprint("other-", i)})), now); err != nil {
			t.Fatal(err)
		}
	}
	return compact
}

// small keeps 128 KiB of tokens that came once.
func small() *authn.Authenticator {
	return authn.New(authn.Config{CacheEntries: 1024, CacheBytes: 1 << 20})
}

// A token is as cheap from its second use on as it will ever be, however soon that comes.
func TestSecondUse(t *testing.T) {
	a, r := authn.New(authn.Config{}), ring(t)
	compact := first().sign(t, nil, claims())
	for range 3 {
		if _, err := a.Token(r, compact, now); err != nil {
			t.Fatal(err)
		}
	}
	if s := a.Stats(); s.Validations != 1 || s.Hits != 2 || s.Entries != 1 {
		t.Errorf("%+v", s)
	}
}

// Of a token that came once, long ago, the signature is not checked again; all else is.
func TestSignatureIsRemembered(t *testing.T) {
	a, r := small(), ring(t)
	compact := newcomer(t, a, r)
	before := a.Stats()
	release := a.Occupy() // no signature can be checked
	token, err := a.Token(r, compact, now)
	release()
	if err != nil || token.JTI != "j1" || token.ClientID != "app" {
		t.Fatal(token, err)
	}
	if s := a.Stats(); s.SignatureHits != before.SignatureHits+1 || s.Validations != before.Validations+1 || s.Signatures >= before.Signatures {
		t.Errorf("before %+v, after %+v", before, s)
	}
	if _, err := a.Token(r, compact, now); err != nil || a.Stats().Hits != before.Hits+1 {
		t.Errorf("%v: it is not remembered whole", err)
	}
}

// What a remembered signature must not let pass.
func TestRememberedSignatureProvesNothingElse(t *testing.T) {
	a := small()
	had := compile(t, issuer(), fetched(t, now+500, first()))
	r := authn.NewKeyring([]*authn.Issuer{had})
	compact := newcomer(t, a, r, object{"nbf": now})
	for name, c := range map[string]struct {
		ring *authn.Keyring
		now  int64
		want error
	}{
		"removed key":         {authn.NewKeyring([]*authn.Issuer{compile(t, issuer(), fetched(t, now+500, second()))}), now, denial.InvalidToken},
		"key out of date":     {r, now + 501, denial.InvalidToken},
		"expired":             {r, now + 1000, denial.InvalidToken}, // its key has, too
		"not yet valid":       {r, now - 1, denial.InvalidToken},
		"another audience":    {ring(t, func(i *pb.Issuer) { i.Audiences = []string{"orders"} }), now, denial.InvalidToken},
		"an issuer that went": {authn.NewKeyring(nil), now, denial.InvalidToken},
	} {
		if _, err := a.Token(c.ring, compact, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	forged := append([]byte(nil), compact...)
	forged[len(forged)-2] ^= 2
	if _, err := a.Token(r, forged, now); !errors.Is(err, denial.InvalidToken) {
		t.Errorf("another signature: %v", err)
	}
	if _, err := a.Token(r, compact, now+1); err != nil {
		t.Errorf("in the end it is good: %v", err)
	}
	long := small()
	lasting := authn.NewKeyring([]*authn.Issuer{compile(t, issuer(), fetched(t, now+5000, first()))})
	expired := newcomer(t, long, lasting)
	if _, err := long.Token(lasting, expired, now+1000); !errors.Is(err, denial.TokenExpired) {
		t.Errorf("expired: %v", err)
	}
}

// Tokens that never come again take little, and push out none that do.
func TestNewcomersTakeLittle(t *testing.T) {
	a, r := small(), ring(t)
	regular := first().sign(t, nil, claims(object{"jti": "regular"}))
	for range 2 {
		if _, err := a.Token(r, regular, now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3000 {
		if _, err := a.Token(r, first().sign(t, nil, claims(object{"jti": fmt.Sprint(i)})), now); err != nil {
			t.Fatal(err)
		}
	}
	hits := a.Stats().Hits
	if _, err := a.Token(r, regular, now); err != nil || a.Stats().Hits != hits+1 {
		t.Errorf("%v: a token that comes again was forgotten", err)
	}
	if s := a.Stats(); s.Bytes > 1<<20/8+4<<10 || s.Signatures > 1024 || s.Signatures < 512 {
		t.Errorf("%+v", s)
	}
}
