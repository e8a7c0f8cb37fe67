package token_test

import (
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

// RFC 7519 section 2: a NumericDate is a JSON numeric value, and RFC 8259 section 6
// says how those are written. down is exp and iat, up is nbf.
func TestDates(t *testing.T) {
	const no = -2 // refused with ErrDate
	zeros := func(n int) string { return strings.Repeat("0", n) }
	for _, c := range []struct {
		name, number string
		down, up     int64
	}{
		{"RFC 7519 section 4.1.4, its example", "1300819380", 1300819380, 1300819380},
		{"RFC 7519 section 2, the beginning", "0", 0, 0},
		{"RFC 7519 section 2, a fraction (PyJWT's time.time())", "1700000000.5", 1700000000, 1700000001},
		{"RFC 7519 section 2, a fraction of nothing", "1700000000.000", 1700000000, 1700000000},
		{"RFC 7519 section 2, less than a float64 can tell", "1700000000.00000000000000000001", 1700000000, 1700000001},
		{"RFC 7519 section 2, before a second is over", "0.999", 0, 1},
		{"RFC 8259 section 6, an exponent (Lua, Erlang)", "1.7e9", 1700000000, 1700000000},
		{"RFC 8259 section 6, all digits and an exponent (Lua's %.14g)", "1.7000000005e+09", 1700000000, 1700000001},
		{"RFC 8259 section 6, a capital E and a plus", "1E+2", 100, 100},
		{"RFC 8259 section 6, a negative exponent", "17000000005e-1", 1700000000, 1700000001},
		{"RFC 8259 section 6, zeros in an exponent", "17e0000000000000000000000008", 1700000000, 1700000000},
		{"RFC 8259 section 6, zero to any power", "0e999999999999999999999", 0, 0},
		{"RFC 8259 section 6, minus zero", "-0", 0, 0},
		{"RFC 8259 section 6, minus zero with all there is", "-0.000e-7", 0, 0},
		{"RFC 8259 section 6, hardly anything", "1e-999999999999999999999", 0, 1},
		{"RFC 8259 section 6, many zeros and their exponent", "0." + zeros(1000) + "17e1010", 1700000000, 1700000000},
		{"RFC 8259 section 6, many digits and their exponent", "17" + zeros(300) + "e-292", 1700000000, 1700000000},
		{"RFC 3339 section 1, the last second of 9999", "253402300799", 253402300799, 253402300799},
		{"RFC 3339 section 1, within it", "253402300799.5", 253402300799, no},
		{"RFC 3339 section 1, year 10000", "253402300800", no, no},
		{"RFC 3339 section 1, year 10000 by an exponent", "2.534023008e11", no, no},
		{"milliseconds", "1700000000000", no, no},
		{"Java's Long.MAX_VALUE", "9223372036854775807", no, no},
		{"more than 64 bits, which must not wrap to a date", "18446744075409551616", no, no},
		{"2^53+1", "9007199254740993", no, no},
		{"the largest exponent of a float64", "1e308", no, no},
		{"300 digits", strings.Repeat("9", 300), no, no},
		{"before 1970", "-1", no, no},
		{"before 1970 by a fraction", "-0.5", no, no},
		{"before 1970 by hardly anything", "-1e-400", no, no},
		{"before 1970 by an exponent", "-1.7e9", no, no},
	} {
		for name, want := range map[string]int64{"exp": c.down, "iat": c.down, "nbf": c.up} {
			payload := `{"` + name + `":` + c.number + `}`
			u, err := token.Parse([]byte(unsigned(header, payload)))
			if want == no {
				if err != token.ErrDate {
					t.Errorf("%s: %s %s: %v, want ErrDate", c.name, name, c.number, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %s %s: %v", c.name, name, c.number, err)
				continue
			}
			got := map[string]int64{"exp": u.Registered.ExpiresAt, "iat": u.Registered.IssuedAt, "nbf": u.Registered.NotBefore}[name]
			if got != want {
				t.Errorf("%s: %s %s is %d, want %d", c.name, name, c.number, got, want)
			}
			if rules := u.Claims.Map()[name]; rules != want {
				t.Errorf("%s: rules see %s %s as %v, want %d", c.name, name, c.number, rules, want)
			}
		}
	}
}

// What a serialiser writes as null is absent, wherever claims are looked for.
func TestNullIsAbsent(t *testing.T) {
	c := claims(t, `{"iss":null,"sub":null,"jti":null,"aud":null,"exp":null,"nbf":null,"iat":null,"cnf":null,`+
		`"app":{"id":null,"name":"x"},"a.b":null,"a":{"b":"c"},"l":[null],"scope":null,"scp":["s"]}`)
	r, err := c.Registered()
	if err != nil || r.Issuer != "" || r.Subject != "" || r.ID != "" || r.Audience != nil ||
		r.ExpiresAt != token.Absent || r.NotBefore != token.Absent || r.IssuedAt != token.Absent {
		t.Errorf("registered claims: %+v, %v", r, err)
	}
	for _, path := range []string{"iss", "exp", "cnf", "app.id", "scope"} {
		if got, ok := c.Get(path); ok || c.Has(path) {
			t.Errorf("%s is there: %v", path, got)
		}
	}
	if got, _ := c.Text("a.b"); got != "c" {
		t.Errorf("a null hides what stands behind it: %q", got)
	}
	if list, ok := c.Get("l"); !ok || len(list.([]any)) != 1 { //nolint:forcetypeassert // a list, or the test fails
		t.Errorf("an element is not a claim: %v", list)
	}
	m := c.Map()
	app, _ := m["app"].(map[string]any)
	if _, there := app["id"]; there || len(m) != 4 || app["name"] != "x" {
		t.Errorf("rules see %v", m)
	}
	renamed := c.Rename([]token.Mapping{{Remote: "exp", Local: "scp"}, {Remote: "app.id", Local: "a"}})
	if scp, _ := renamed.Strings("scp"); len(scp) != 1 || !renamed.Has("a") {
		t.Errorf("a null was mapped: %v", renamed.Map())
	}
	for _, head := range []string{`{"alg":"HS256","kid":null}`, `{"alg":"HS256","typ":null}`} {
		if u, err := token.Parse([]byte(unsigned(head, payload))); err != nil || u.KeyID != "" || u.Type != "" {
			t.Errorf("%s: %v", head, err)
		}
	}
}
