package token_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

// FuzzParse holds Parse against golang-jwt and encoding/json: what Parse accepts
// they must accept, too, and read in the same way. Why it refuses must be found
// by other means, too.
func FuzzParse(f *testing.F) {
	teach()
	for _, seed := range seeds() {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		compact := unsigned(header, payload)
		u, err := token.Parse([]byte(compact))
		if err != nil {
			explain(t, err, compact)
			return
		}
		compareWithOracle(t, compact, header, payload, u)
	})
}

// FuzzParseCompact feeds whole tokens, so that the splitting and decoding are fuzzed as well.
func FuzzParseCompact(f *testing.F) {
	teach()
	for _, seed := range seeds() {
		f.Add([]byte(unsigned(seed[0], seed[1])))
	}
	f.Add([]byte("e30.e30.e30.e30.e30"))
	f.Add([]byte(strings.Repeat(".", 100)))
	f.Fuzz(func(t *testing.T, compact []byte) {
		before := bytes.Clone(compact)
		u, err := token.Parse(compact)
		if !bytes.Equal(before, compact) {
			t.Fatal("Parse has changed its input")
		}
		if err != nil {
			explain(t, err, string(compact))
			return
		}
		parts := strings.Split(string(compact), ".")
		header, err1 := jwt.NewParser(jwt.WithStrictDecoding()).DecodeSegment(parts[0])
		payload, err2 := jwt.NewParser(jwt.WithStrictDecoding()).DecodeSegment(parts[1])
		if err1 != nil || err2 != nil {
			t.Fatalf("accepted, but not base64url: %v, %v", err1, err2)
		}
		compareWithOracle(t, string(compact), string(header), string(payload), u)
	})
}

func compareWithOracle(t *testing.T, compact, header, payload string, u *token.Unverified) {
	t.Helper()
	parser := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber())
	oracle, _, err := parser.ParseUnverified(compact, jwt.MapClaims{})
	if err != nil {
		t.Fatalf("accepted, but the oracle says %v\n%s\n%s", err, header, payload)
	}
	if alg := oracle.Header["alg"]; alg != u.Algorithm.String() {
		t.Fatalf("alg %v, %v", oracle.Header["alg"], u.Algorithm)
	}
	if kid, ok := oracle.Header["kid"].(string); ok && kid != u.KeyID || !ok && u.KeyID != "" {
		t.Fatalf("kid %q, %q", kid, u.KeyID)
	}
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, ok := oracle.Header[name]; ok {
			t.Fatalf("accepted with %s", name)
		}
	}
	var want map[string]any
	decoder := json.NewDecoder(strings.NewReader(payload))
	decoder.UseNumber()
	if err := decoder.Decode(&want); err != nil {
		t.Fatal(err)
	}
	dropNulls(want)
	got := maps.Clone(u.Claims.Map())
	for name, date := range map[string]int64{"exp": u.Registered.ExpiresAt, "nbf": u.Registered.NotBefore, "iat": u.Registered.IssuedAt} {
		if date != token.Absent && got[name] != date {
			t.Fatalf("%s is %v for rules, and %d otherwise", name, got[name], date)
		}
		if got[name] != nil {
			got[name] = number(t, want[name])
		}
	}
	if !same(want, got) {
		t.Fatalf("claims differ\n%v\n%v", want, got)
	}
	compareRegistered(t, want, u.Registered)
}

// dropNulls takes out the members that are null, at any depth.
func dropNulls(value any) {
	switch value := value.(type) {
	case map[string]any:
		maps.DeleteFunc(value, func(_ string, v any) bool { return v == nil })
		for _, v := range value {
			dropNulls(v)
		}
	case []any:
		for _, v := range value {
			dropNulls(v)
		}
	}
}

// number reads a date as any number is read, to compare what is not about dates.
func number(t *testing.T, value any) any {
	t.Helper()
	n, ok := value.(json.Number)
	if !ok {
		t.Fatalf("%v was taken for a date", value)
	}
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func compareRegistered(t *testing.T, want map[string]any, got token.Registered) {
	t.Helper()
	claims := jwt.MapClaims(want)
	iss, err1 := claims.GetIssuer()
	sub, err2 := claims.GetSubject()
	aud, err3 := claims.GetAudience()
	if err1 != nil || err2 != nil || err3 != nil || iss != got.Issuer || sub != got.Subject || !same(toAny(aud), toAny(got.Audience)) {
		t.Fatalf("iss %q, sub %q, aud %q; got %+v", iss, sub, aud, got)
	}
	for name, date := range map[string]int64{"exp": got.ExpiresAt, "nbf": got.NotBefore, "iat": got.IssuedAt} {
		n, ok := want[name].(json.Number)
		if !ok {
			if date != token.Absent || want[name] != nil {
				t.Fatalf("%s: %v, %d", name, want[name], date)
			}
			continue
		}
		if want, ok := oracleDate(n.String(), name == "nbf"); !ok || want != date {
			t.Fatalf("%s: %v is %d, not %d", name, n, want, date)
		}
	}
}

// oracleDate rounds a number that is a date by exact fractions.
func oracleDate(number string, up bool) (int64, bool) {
	// Of what big.Rat would take gigabytes for, only whether it is 0 matters here.
	if f, err := strconv.ParseFloat(number, 64); err != nil || f < 0 || f > 1e12 {
		return 0, false
	} else if f < 1e-9 {
		small := strings.ContainsAny(strings.FieldsFunc(number, func(r rune) bool { return r == 'e' || r == 'E' })[0], "123456789")
		if small && up {
			return 1, number[0] != '-'
		}
		return 0, !small || number[0] != '-'
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, false
	}
	seconds := new(big.Int).Quo(r.Num(), r.Denom())
	if up && !r.IsInt() {
		seconds.Add(seconds, big.NewInt(1))
	}
	return seconds.Int64(), seconds.Int64() <= 253402300799
}

func toAny(list []string) any {
	all := make([]any, 0, len(list))
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

// same compares what encoding/json reads (want) with what we read.
func same(want, got any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			return false
		}
		for name := range want {
			if value, ok := got[name]; !ok || !same(want[name], value) {
				return false
			}
		}
		return true
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return false
		}
		for i := range want {
			if !same(want[i], got[i]) {
				return false
			}
		}
		return true
	case json.Number:
		f, err := want.Float64()
		switch got := got.(type) {
		case int64:
			n, err := want.Int64()
			return err == nil && n == got
		case uint64:
			return err == nil && f == float64(got)
		case float64:
			return err == nil && f == got
		}
		return false
	default:
		return want == got
	}
}

func seeds() [][2]string {
	return [][2]string{
		{header, payload},
		{header, rich},
		{`{"alg":"RS256","typ":"at+jwt","kid":"\u006b"}`, `{"iss":"i","aud":["a","b"],"exp":1900000000.5,"nbf":0,"iat":253402300799}`},
		{`{"alg":"HS256","crit":["b64"],"b64":false}`, `{}`},
		{`{"alg":"HS256","zip":"DEF"}`, `{"a":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}`},
		{`{"alg":"none"}`, `{"sub":"\ud800\udc00\ud800","sub":1}`},
		{` { "alg" : "ES256" } `, "{\t\"a\" :\r\n[ 1 , -0 , 0.0 , 1e400 , \"\\/\\b\\f\\n\\r\\t\\\\\\\"\" ] }"},
		{`{"alg":"EdDSA","ALG":"none"}`, `{"Exp":"x","exp":1,"ſub":"s","sub":"t","":{"":""}}`},
		{`{"alg":"RS256","kid":null,"typ":null}`, `{"exp":1.7e9,"nbf":1700000000.5,"iat":17000000005E-1,"aud":null,"x":{"y":null,"z":[null]}}`},
		{`{"alg":"RS256"}`, `{"exp":-0.0,"nbf":1e-400,"iat":0e999999999999}`},
		{`{"alg":"ES256K"}`, `{"iss":"i"}`},
		{`{"alg":"Ed448"}`, `{"iss":"i"}`},
		{`{"alg":"Ed25519"}`, `{"iss":"","aud":"","jti":"\ud83d\ude00"}`},
		{`{"alg":"PS512"}`, "{\"x\":\"\u2028\ufffd😀\",\"n\":12345678901234567890123456789012345678901234567890}"},
	}
}
