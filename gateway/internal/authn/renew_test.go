package authn_test

import (
	"errors"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// A key set that is fetched again and is the same ends nothing.
func TestRenew(t *testing.T) {
	issuer := compile(t, testIssuer(), fetched(t, now+100, first()))
	ring := authn.NewKeyring([]*authn.Issuer{issuer})
	a := authn.New(authn.Config{})
	compact := first().sign(t, nil, claims(object{"exp": now + 1000}))
	if _, err := a.Token(ring, compact, now); err != nil {
		t.Fatal(err)
	}
	if !issuer.Renew(compile(t, testIssuer(), fetched(t, now+200, first()))) {
		t.Fatal("the same keys for longer are other keys")
	}
	if _, err := a.Token(ring, compact, now+1); err != nil || a.Stats().Hits != 1 {
		t.Errorf("%v, %+v: the token is forgotten", err, a.Stats())
	}
	// Remembered until the time the key had then, and validated anew after it.
	if _, err := a.Token(ring, compact, now+150); err != nil || a.Stats().Validations != 2 {
		t.Errorf("%v, %+v: the longer time does not count", err, a.Stats())
	}
	if _, err := a.Token(ring, compact, now+201); !errors.Is(err, denial.InvalidToken) {
		t.Errorf("%v: accepted after the longer time", err)
	}
}

// Whatever else differs makes another Issuer.
func TestRenewRefuses(t *testing.T) {
	set := func(pairs ...pair) *pb.KeySet { return fetched(t, now+100, pairs...) }
	had := compile(t, testIssuer(), set(first(), second()))
	changed := testIssuer(func(i *pb.Issuer) { i.ClockSkew = seconds(1) })
	stranger := newPair("ES256", "k2")
	for name, next := range map[string]*authn.Issuer{
		"settings":             compile(t, changed, set(first(), second())),
		"a key less":           compile(t, testIssuer(), set(first())),
		"a key more":           compile(t, testIssuer(), set(first(), second(), stranger)),
		"another key, its kid": compile(t, testIssuer(), set(first(), stranger)),
		"another kid":          compile(t, testIssuer(), set(first(), pair{"ES256", "k3", second().private})),
		"a shorter time":       compile(t, testIssuer(), fetched(t, now+99, first(), second())),
		"no keys":              compile(t, testIssuer(), nil),
	} {
		if had.Renew(next) {
			t.Errorf("%s: taken for the same", name)
		}
	}
	if until := had.Keys().Keys()[0]; !until.ValidAt(now+100) || until.ValidAt(now+101) {
		t.Error("a refused renewal has changed the keys")
	}
	never, empty := compile(t, testIssuer(), nil), compile(t, testIssuer(), set())
	if never.Renew(empty) {
		t.Error("whether keys were ever had is not compared")
	}
	// The same resource, another content of the file it names.
	secretIssuer := func(text string) *authn.Issuer {
		return compileWith(t, testIssuer(func(i *pb.Issuer) {
			i.Keys = &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_File{File: "f"}}}}
		}), nil, keyset.Secrets{File: func(string) ([]byte, error) { return []byte(text), nil }})
	}
	if secretIssuer(secret).Renew(secretIssuer("x" + secret[1:])) {
		t.Error("another secret is taken for the same")
	}
	if !secretIssuer(secret).Renew(secretIssuer(secret)) {
		t.Error("the same secret is taken for another")
	}
}

// testIssuer is issuer under a name that tests do not hide.
func testIssuer(change ...func(*pb.Issuer)) *pb.Issuer { return issuer(change...) }
