package expr_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/expr"
)

type request struct{ headers, query, cookies map[string]string }

func (request) Method() string   { return "GET" }
func (request) Path() string     { return "/orders/1" }
func (request) Host() string     { return "api.test" }
func (request) ClientIP() string { return "192.0.2.7" }

func (r request) Header(name string) (string, bool) { v, ok := r.headers[name]; return v, ok }
func (r request) Query(name string) (string, bool)  { v, ok := r.query[name]; return v, ok }
func (r request) Cookie(name string) (string, bool) { v, ok := r.cookies[name]; return v, ok }

func input() expr.Input {
	return expr.Input{
		Request: request{
			headers: map[string]string{"x-tenant": "acme", "x-empty": ""},
			query:   map[string]string{"page": "2"},
			cookies: map[string]string{"session": "s3"},
		},
		Claims: map[string]any{
			"level": int64(2), "ratio": 2.5, "big": int64(9007199254740993), "role": "Member",
			"scope": "read write", "tenant": map[string]any{"id": "t1"}, "groups": []any{"a", "b"}, "admin": true, "nothing": nil,
		},
		Application: "mobile", Plan: "orders-jwt",
	}
}

func TestRequestRule(t *testing.T) {
	for src, want := range map[string]bool{
		`'x-tenant' in request.headers`:                             true,
		`'X-Tenant' in request.headers`:                             true,
		`!('x-internal' in request.headers)`:                        true,
		`request.headers['x-tenant'] == 'acme'`:                     true,
		`request.headers['X-Tenant'] == 'acme'`:                     true,
		`has(request.headers.origin)`:                               false,
		`has(request.query.page)`:                                   true,
		`request.query.page == '2'`:                                 true,
		`request.cookies['session'].startsWith('s')`:                true,
		`request.method == 'GET' && request.path == '/orders/1'`:    true,
		`request.host == 'api.test' || request.headers['a'] == 'b'`: true,
		`request.client_ip == '192.0.2.8'`:                          false,
		`request.headers[?'x-none'].orValue('d') == 'd'`:            true,
		`request.path.split('/')[1] == 'orders'`:                    true,
		`request.path.matches('^/orders/[0-9]+$')`:                  true,
	} {
		rule, err := expr.RequestRule(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got, err := rule.Holds(input())
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", src, got, err, want)
		}
	}
}

func TestClaimRule(t *testing.T) {
	for src, want := range map[string]bool{
		`claims.level >= 2`:                      true,
		`claims.level == 2.0`:                    true,
		`claims.ratio > 2`:                       true,
		`claims.big == 9007199254740993`:         true,
		`claims.big == 9007199254740992`:         false,
		`'a' in claims.groups`:                   true,
		`claims.groups.exists(g, g == 'b')`:      true,
		`'read' in claims.scope.split(' ')`:      true,
		`claims.tenant.id == 't1'`:               true,
		`claims.admin`:                           true,
		`has(claims.nope)`:                       false,
		`claims.?tenant.?id.orValue('') == 't1'`: true,
		`claims.nothing == null`:                 true,
		`size(claims) > 3`:                       true,
	} {
		rule, err := expr.ClaimRule(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got, err := rule.Holds(input())
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", src, got, err, want)
		}
	}
}

func TestRuleThatCannotBeEvaluatedDoesNotHold(t *testing.T) {
	for _, src := range []string{
		`claims.nope == 'x'`, `!(claims.nope == 'x')`, `claims.role`, `claims.role > 3`,
		`claims.groups[7] == 'x'`, `claims.tenant.nope != 'x'`,
	} {
		rule, err := expr.ClaimRule(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if got, err := rule.Holds(input()); got || err == nil {
			t.Errorf("%s: got %v, %v; want false and an error", src, got, err)
		}
	}
	rule, err := expr.RequestRule(`request.headers['nope'] != 'x'`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rule.Holds(input()); got || !errors.Is(err, expr.ErrAbsent) {
		t.Errorf("missing header: got %v, %v", got, err)
	}
	if got, err := rule.Holds(expr.Input{}); got || err == nil {
		t.Errorf("no request: got %v, %v", got, err)
	}
}

func TestCost(t *testing.T) {
	rule, err := expr.ClaimRule(`claims.l.all(x, claims.l.all(y, x != y + 'a'))`)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, 1000)
	for i := range list {
		list[i] = "x"
	}
	if got, err := rule.Holds(expr.Input{Claims: map[string]any{"l": list}}); got || err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("got %v, %v; want an error about the cost", got, err)
	}
	if got, err := rule.Holds(expr.Input{Claims: map[string]any{"l": []any{"a"}}}); !got || err != nil {
		t.Errorf("cheap input: got %v, %v", got, err)
	}
}

func TestValue(t *testing.T) {
	for src, want := range map[string]string{
		`request.headers['x-tenant']`:                                "acme",
		`request.cookies.session`:                                    "s3",
		`request.cookies[?'session']`:                                "s3",
		`application + '/' + plan + '/' + claims.tenant.id`:          "mobile/orders-jwt/t1",
		`request.query.page.upperAscii()`:                            "2",
		`claims.role`:                                                "Member",
		`has(claims.org) ? claims.org : request.headers['x-tenant']`: "acme",
	} {
		v, err := expr.LimitKey(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if got, err := v.Eval(input()); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", src, got, err, want)
		}
	}
	for _, src := range []string{`request.headers['nope']`, `request.cookies[?'nope']`} {
		v, err := expr.RequestValue(src)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Eval(input()); got != "" || !errors.Is(err, expr.ErrAbsent) {
			t.Errorf("%s: got %q, %v; want ErrAbsent", src, got, err)
		}
	}
	for _, src := range []string{
		`'nope' in request.headers ? 'a' : request.path.substring(99)`, // looked up something absent, but fails of something else
		`request.path.split('/')[99]`,
	} {
		v, err := expr.RequestValue(src)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Eval(input()); got != "" || err == nil || errors.Is(err, expr.ErrAbsent) {
			t.Errorf("%s: got %q, %v; want an error that is not ErrAbsent", src, got, err)
		}
	}
	v, err := expr.LimitKey(`claims.level`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Eval(input()); err == nil {
		t.Error("a number was taken for a string")
	}
}

func TestCompileErrors(t *testing.T) {
	rule := func(s string) error { _, err := expr.RequestRule(s); return err }
	claim := func(s string) error { _, err := expr.ClaimRule(s); return err }
	val := func(s string) error { _, err := expr.RequestValue(s); return err }
	for _, c := range []struct {
		compile   func(string) error
		src, want string
	}{
		{rule, ``, "empty"},
		{rule, `  `, "empty"},
		{rule, `request.path ==`, "1:16: "},
		{rule, "true &&\n  request.pth == 'a'", "2:10: "},
		{rule, `claims.sub == 'x'`, "undeclared reference to 'claims'"},
		{claim, `request.path == 'x'`, "undeclared reference to 'request'"},
		{rule, `request.path`, "gives string, but a condition"},
		{val, `request.path == 'x'`, "gives bool, but a string"},
		{rule, `request.headers.all(h, h != 'a')`, "looked up by name"},
		{rule, `size(request.headers) > 1`, "looked up by name"},
		{rule, `request.headers == request.cookies`, "looked up by name"},
		{rule, `dyn(request).path == 'x'`, "looked up by name"},
		{rule, `[request] != []`, "looked up by name"},
		{rule, `request.path.matches('(')`, "1:"},
		{rule, `'` + strings.Repeat("a", expr.MaxSource) + `' == ''`, "at most 4096"},
		{rule, strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), "1:"},
		{rule, `request.headers[1] == 'a'`, "no matching overload"},
		{claim, `claims.a.all(x, x.all(y, y.all(z, z == 1)))`, "nesting"},
	} {
		err := c.compile(c.src)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: got %v; want %q in it", c.src, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60s: the error spans lines: %v", c.src, err)
		}
	}
}
