package token_test

import (
	"reflect"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

func claims(t testing.TB, payload string) *token.Claims {
	t.Helper()
	u, err := token.Parse([]byte(unsigned(header, payload)))
	if err != nil {
		t.Fatal(err)
	}
	return u.Claims
}

const rich = `{"s":"a\"b\u00fc","n":9007199254740993,"u":18446744073709551615,"neg":-5,"f":2.50,"e":1e3,"big":18446744073709551616,` +
	`"b":true,"nb":false,"z":null,"l":[1,"x",{"y":[]}],"o":{"name":"Acme","deep":{"er":"d"},"a.b":"dotted"},` +
	`"o.name":"literal","https://x.test/org":{"id":"7"},"scope":"read  write","scp":["a","b"],"mixed":["a",1],"empty":"","none":[]}`

func TestClaimsGet(t *testing.T) {
	c := claims(t, rich)
	for path, want := range map[string]any{
		"s": `a"bü`, "n": int64(9007199254740993), "u": uint64(18446744073709551615), "neg": int64(-5), "f": 2.5, "e": 1000.0,
		"big": 18446744073709551616.0, "b": true, "nb": false,
		"l":      []any{int64(1), "x", map[string]any{"y": []any{}}},
		"o.deep": map[string]any{"er": "d"}, "o.deep.er": "d", "o.a.b": "dotted",
		"o.name":                "literal", // a literal name wins over the path
		"https://x.test/org.id": "7",
	} {
		got, ok := c.Get(path)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v; want %#v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "S", "z", "o.nope", "o.deep.er.more", "l.0", "s.x", ".", "o.", ".o"} {
		if got, ok := c.Get(path); ok {
			t.Errorf("%q: got %#v", path, got)
		}
	}
	if raw, _ := c.Raw("f"); raw != "2.50" {
		t.Errorf("raw: %s", raw)
	}
	if text, ok := c.Text("n"); ok {
		t.Errorf("a number was taken for text: %q", text)
	}
	if c.JSON() != rich {
		t.Error("the payload has changed")
	}
}

func TestClaimsStrings(t *testing.T) {
	c := claims(t, rich)
	for path, want := range map[string][]string{
		"scope": {"read", "write"}, "scp": {"a", "b"}, "empty": {}, "none": {}, "o.deep.er": {"d"},
	} {
		got, ok := c.Strings(path)
		if !ok || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v; want %v", path, got, ok, want)
		}
	}
	for _, path := range []string{"mixed", "n", "o", "z", "nope"} {
		if got, ok := c.Strings(path); ok {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestClaimsMap(t *testing.T) {
	c := claims(t, rich)
	m := c.Map()
	if len(m) != 18 || m["n"] != int64(9007199254740993) || m["o.name"] != "literal" {
		t.Errorf("%d claims: %v", len(m), m)
	}
	if reflect.ValueOf(c.Map()).Pointer() != reflect.ValueOf(m).Pointer() {
		t.Error("the map is made twice")
	}
}

func TestClaimsOwnTheirMemory(t *testing.T) {
	compact := []byte(unsigned(header, payload))
	u, err := token.Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	for i := range compact {
		compact[i] = 'x'
	}
	if u.Registered.Issuer != "https://idp.test" || u.Claims.JSON() != payload || u.KeyID != "k" {
		t.Error("claims point into the request")
	}
}

func TestRename(t *testing.T) {
	had := claims(t, `{"scp":"new","scope":"old","user":{"id":"u1"},"a":"1","b":"2"}`)
	got := had.Rename([]token.Mapping{{"scp", "scope"}, {"user.id", "sub"}, {"nope", "x"}, {"a", "a"}, {"b", "c"}, {"c", "d"}})
	for path, want := range map[string]string{"scope": "new", "sub": "u1", "user.id": "u1", "a": "1", "d": "2"} {
		if text, _ := got.Text(path); text != want {
			t.Errorf("%s: %q, want %q", path, text, want)
		}
	}
	for _, path := range []string{"scp", "b", "c", "x"} {
		if got.Has(path) {
			t.Errorf("%s is still there", path)
		}
	}
	if _, twice := got.Map()["scp"]; twice || len(got.Map()) != 5 {
		t.Errorf("map: %v", got.Map())
	}
	r, err := got.Registered()
	if err != nil || r.Subject != "u1" {
		t.Errorf("registered claims do not follow the mapping: %+v, %v", r, err)
	}
	if !had.Has("scp") {
		t.Error("the original has changed")
	}
}
