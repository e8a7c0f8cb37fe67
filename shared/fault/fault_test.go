package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

func TestFaultSaysWhere(t *testing.T) {
	for want, f := range map[string]fault.Fault{
		"bad":                       {Message: "bad"},
		"bad (hint: mend it)":       {Message: "bad", Hint: "mend it"},
		"f.yaml: bad":               {File: "f.yaml", Message: "bad"},
		"f.yaml:3: bad":             {File: "f.yaml", Line: 3, Column: 9, Message: "bad"},
		"line 3: bad":               {Line: 3, Message: "bad"},
		"plan/gold: bad":            {Kind: "Plan", ID: "gold", Message: "bad"},
		"key-set/acme: bad":         {Kind: "KeySet", ID: "acme", Message: "bad"},
		"revocation: bad":           {Kind: "Revocation", Message: "bad"},
		"a.b[0]: bad":               {Field: "a.b[0]", Message: "bad"},
		"f:3: plan/g: a: bad":       {File: "f", Line: 3, Kind: "Plan", ID: "g", Field: "a", Message: "bad"},
		"flag --listen: bad":        {File: "flag --listen", Message: "bad"},
		"api/a: x: b (hint: h)":     {Kind: "Api", ID: "a", Field: "x", Code: fault.Invalid, Message: "b", Hint: "h"},
		"deployment/a: a.b: taken":  {Kind: "Deployment", ID: "a", Field: "a.b", Code: fault.Conflict, Message: "taken"},
		"settings: listen: missing": {File: "settings", Field: "listen", Message: "missing"},
	} {
		if got := f.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestList(t *testing.T) {
	if err := (fault.List{}).Err(); err != nil {
		t.Errorf("an empty list is the error %v", err)
	}
	err := fault.List{{Field: "a", Message: "x"}, {Field: "b", Code: fault.Dangling, Message: "y"}}.Err()
	list, ok := errors.AsType[fault.List](fmt.Errorf("wrapped: %w", err))
	if !ok || list.Error() != "a: x\nb: y" {
		t.Errorf("%v", err)
	}
	if !list.Has(fault.Dangling) || list.Has(fault.Exists) {
		t.Errorf("Has of %v", list)
	}
}

// The names in JSON are those of the REST API.
func TestJSON(t *testing.T) {
	text, err := json.Marshal(fault.Fault{
		File: "f", Line: 1, Column: 2, Kind: "Plan", ID: "p", Field: "a", Code: fault.InUse, Message: "m", Hint: "h",
	})
	const want = `{"file":"f","line":1,"column":2,"kind":"Plan","id":"p","field":"a","code":"in_use","message":"m","hint":"h"}`
	if err != nil || string(text) != want {
		t.Errorf("got  %s %v\nwant %s", text, err, want)
	}
	if text, err := json.Marshal(fault.Fault{Message: "m"}); err != nil || string(text) != `{"message":"m"}` {
		t.Errorf("got %s %v", text, err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"context_path", "status", "id"}
	for word, want := range map[string]struct {
		nearest string
		near    bool
	}{
		"status":                      {"status", true},
		"statuss":                     {"status", true},
		"STATE":                       {"status", true},
		"contextPath":                 {"context_path", true},
		"Context-Path":                {"context_path", true},
		"ix":                          {"id", true},
		"xy":                          {"id", false},
		strings.Repeat("status", 1e5): {"status", false},
		"":                            {"id", false},
	} {
		if nearest, near := fault.Nearest(word, known); nearest != want.nearest || near != want.near {
			t.Errorf("Nearest(%.20q) = %q, %v; want %q, %v", word, nearest, near, want.nearest, want.near)
		}
	}
	if nearest, near := fault.Nearest("", nil); nearest != "" || near {
		t.Errorf("of nothing: %q, %v", nearest, near)
	}
}

func TestHints(t *testing.T) {
	known := []string{"PENDING", "ACCEPTED"}
	for _, c := range []struct{ got, want string }{
		{fault.Suggest("accepted", known), `did you mean "ACCEPTED"?`},
		{fault.Suggest("xyz", known), `the nearest known one is "PENDING"; known here: PENDING, ACCEPTED`},
		{fault.Suggest("xyz", nil), ""},
		{fault.DidYouMean("gould", []string{"silver", "gold"}), `did you mean "gold"?`},
		{fault.DidYouMean("bronze", []string{"silver", "gold"}), ""},
		{fault.DidYouMean("bronze", nil), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	many := strings.Split(strings.Repeat("abcdefgh ", 99)+"abcdefgh", " ")
	if hint := fault.Suggest("zzzzzzzz", many); !strings.HasSuffix(hint, "abcdefgh and 60 more") {
		t.Errorf("of a hundred words: %s", hint)
	}
}

func ExampleSuggest() {
	fields := []string{"name", "context_path", "upstream"}
	fmt.Println(fault.Suggest("contextPath", fields))
	fmt.Println(fault.Suggest("xyzzy", fields))
	// Output:
	// did you mean "context_path"?
	// the nearest known one is "name"; known here: name, context_path, upstream
}

func ExampleFault() {
	fmt.Println(fault.Fault{
		File: "orders.yaml", Line: 7, Kind: "Plan", ID: "gold", Field: "jwt.issuers[0]",
		Message: `no issuer "acne"`, Hint: fault.DidYouMean("acne", []string{"acme"}),
	})
	// Output:
	// orders.yaml:7: plan/gold: jwt.issuers[0]: no issuer "acne" (hint: did you mean "acme"?)
}
