package resource_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// faultsOf decodes a file and gives its faults; nil if there are none.
func faultsOf(t *testing.T, text string) fault.List {
	t.Helper()
	docs, err := resource.DecodeYAML("f", []byte(text))
	if err == nil {
		return nil
	}
	if docs != nil {
		t.Errorf("documents together with an error: %v", docs)
	}
	es, ok := errors.AsType[fault.List](err)
	if !ok || len(es) == 0 {
		t.Fatalf("got %T %v, want a fault.List", err, err)
	}
	return es
}

func TestFaults(t *testing.T) {
	const plan = "kind: Plan\nid: p\n"
	for name, tc := range map[string]struct {
		text string
		want string // the whole line
	}{
		"unknown field":      {plan + "statuss: STAGING", `f:3: plan/p: statuss: unknown field (hint: did you mean "status"?)`},
		"camel case":         {"kind: Api\nid: a\ncontextPath: /x", `f:3: api/a: contextPath: unknown field (hint: did you mean "context_path"?)`},
		"far field":          {"kind: Revocation\nxyzzy: 1", `f:2: revocation: xyzzy: unknown field (hint: the nearest known one is "kind"; known here: kind, id, issuer, jti, token_sha256, client_id, subject, issued_before, expires_at, reason, meta)`},
		"nested unknown":     {plan + "jwt:\n  scopes:\n    alll: []", `f:5: plan/p: jwt.scopes.alll: unknown field (hint: did you mean "all"?)`},
		"in a list":          {"kind: Api\nid: a\nupstream:\n  targets:\n  - url: x\n  - urll: x", `f:6: api/a: upstream.targets[1].urll: unknown field (hint: did you mean "url"?)`},
		"duplicate":          {plan + "name: a\nname: b", `f:4: plan/p: name: the field appears twice, first in line 3 (hint: keep one)`},
		"duplicate in free":  {"kind: Issuer\nid: i\nkeys: {jwks: {a: 1, a: 2}}", `f:3: issuer/i: keys.jwks.a: the field appears twice (hint: keep one)`},
		"number for text":    {"kind: Api\nid: a\nversion: 1.0", `f:3: api/a: version: expected text, got the number 1.0 (hint: write it in quotes: "1.0")`},
		"bool for text":      {plan + "name: true", `f:3: plan/p: name: expected text, got true (hint: write it in quotes: "true")`},
		"text for bool":      {plan + "auto_accept: yes", `f:3: plan/p: auto_accept: expected true or false, got the text "yes"`},
		"text for number":    {plan + "order: first", `f:3: plan/p: order: expected a number, got the text "first"`},
		"fraction":           {plan + "order: 1.5", `f:3: plan/p: order: expected a whole number from -2147483648 to 2147483647, got 1.5`},
		"out of range":       {plan + "order: 2147483648", `f:3: plan/p: order: expected a whole number from -2147483648 to 2147483647, got 2147483648`},
		"negative":           {plan + "restrictions: {quota: {requests: -1}}", `f:3: plan/p: restrictions.quota.requests: expected a whole number from 0 to 18446744073709551615, got -1`},
		"enum":               {plan + "status: PUBLISH", `f:3: plan/p: status: unknown value "PUBLISH" (hint: did you mean "PUBLISHED"?)`},
		"enum case":          {plan + "security: jwt", `f:3: plan/p: security: unknown value "jwt" (hint: did you mean "JWT"?)`},
		"enum number":        {plan + "security: 2", `f:3: plan/p: security: expected a name, got the number 2`},
		"enum unspecified":   {plan + "status: STATUS_UNSPECIFIED", `f:3: plan/p: status: unknown value "STATUS_UNSPECIFIED" (hint: the nearest known one is "STAGING"; known here: STAGING, PUBLISHED, DEPRECATED, CLOSED)`},
		"scalar for list":    {plan + "jwt: {issuers: acme}", `f:3: plan/p: jwt.issuers: expected a list, got the text "acme" (hint: put it in [ ])`},
		"list for text":      {plan + "name: [a]", `f:3: plan/p: name: expected text, got a list`},
		"object for list":    {"kind: Api\nid: a\nupstream: {targets: {url: x}}", `f:3: api/a: upstream.targets: expected a list, got an object (hint: put it in [ ])`},
		"text for object":    {plan + "jwt: acme", `f:3: plan/p: jwt: expected an object, got the text "acme"`},
		"null in list":       {plan + "jwt: {issuers: [~]}", `f:3: plan/p: jwt.issuers[0]: null in a list (hint: leave the element out)`},
		"oneof":              {"kind: Revocation\nid: r\njti: a\nsubject: b", `f:4: revocation/r: subject: jti and subject exclude each other (hint: keep one)`},
		"duration number":    {"kind: Issuer\nid: i\nclock_skew: 5", `f:3: issuer/i: clock_skew: expected a duration, got the number 5 (hint: write a number with its unit: 500ms, 90s, 60m, 24h, 7d; seconds would be 5s)`},
		"duration unit":      {"kind: Issuer\nid: i\nclock_skew: 5 min", `f:3: issuer/i: clock_skew: "5 min": not a duration (hint: write a number with its unit: 500ms, 90s, 60m, 24h, 7d)`},
		"duration negative":  {"kind: Issuer\nid: i\nclock_skew: -5s", `f:3: issuer/i: clock_skew: "-5s": must not be negative (hint: write a number with its unit: 500ms, 90s, 60m, 24h, 7d)`},
		"size unit":          {"kind: Api\nid: a\nupstream: {max_request_body: 10MB}", `f:3: api/a: upstream.max_request_body: "10MB" is not a size (hint: write bytes, or KiB, MiB, GiB: 512, 64KiB, 10MiB)`},
		"size range":         {"kind: Api\nid: a\nupstream: {max_request_body: 99999999TiB}", `f:3: api/a: upstream.max_request_body: "99999999TiB": out of range (hint: write bytes, or KiB, MiB, GiB: 512, 64KiB, 10MiB)`},
		"time":               {"kind: Subscription\nid: s\nstarts_at: 2026-01-01", `f:3: subscription/s: starts_at: "2026-01-01" is not a time of RFC 3339 (hint: write it like 2026-01-31T08:00:00Z)`},
		"inexact number":     {"kind: Issuer\nid: i\nkeys: {jwks: {n: 9007199254740993}}", `f:3: issuer/i: keys.jwks.n: whole numbers beyond 9007199254740992 lose digits (hint: write it in quotes)`},
		"inexact value":      {plan + "jwt: {claim_rules: [{equals: 9007199254740993}]}", `f:3: plan/p: jwt.claim_rules[0].equals: whole numbers beyond 9007199254740992 lose digits (hint: write it in quotes: "9007199254740993")`},
		"no number":          {"kind: Issuer\nid: i\nkeys: {jwks: {n: .nan}}", `f:3: issuer/i: keys.jwks.n: expected a decimal number, got a number`},
		"missing kind":       {"id: a", `f:1: the field kind is missing (hint: one of Issuer, Api, Plan, Application, Subscription, Revocation)`},
		"unknown kind":       {"kind: Apis", `f:1: kind: unknown kind "Apis" (hint: did you mean "Api"?)`},
		"key set":            {"kind: KeySet\nid: a", `f:1: kind: a KeySet is written by the control plane only (hint: leave the document out)`},
		"deployment":         {`{"kind": "Deployment", "id": "a"}`, `f:1: kind: a Deployment is written by the control plane only (hint: leave the document out)`},
		"not an object":      {"- kind: Api", `f:1: a document must be an object with the field kind, not a list (hint: separate the resources of a file by lines of ---)`},
		"merge key":          {plan + "jwt:\n  <<: {issuers: [a]}", `f:4: merge keys (<<) are not supported (hint: write the fields out)`},
		"tag":                {plan + "name: !!binary aGk=", `f:3: the tag "!!binary" is not supported (hint: leave it out, or write the value in quotes)`},
		"unclosed quote":     {plan + "name: \"a\norder: 1\nstatus: STAGING\n", `f:3: not YAML: found unexpected end of stream, while scanning a quoted scalar (hint: is a quote missing?)`},
		"own tag":            {plan + "jwt: !x {}", `f:3: the tag "!x" is not supported (hint: leave it out)`},
		"directive":          {"%YAML 1.2\n---\n" + plan, `f:1: YAML directives are not supported (hint: leave the line out)`},
		"not UTF-8":          {plan + "name: \xff", `f:3: the text is not UTF-8`},
		"json trailing":      {`{"kind":"Plan"} x`, `f:1: expected a JSON object, got 'x'`},
		"json duplicate":     {"{\"kind\":\"Plan\",\"id\":\"p\",\n\"id\":\"q\"}", `f:2: plan/p: id: the field appears twice, first in line 1 (hint: keep one)`},
		"json surrogate":     {`{"kind":"Plan","name":"\ud800"}`, `f:1: the text holds half a surrogate pair, which is no character`},
		"json unclosed":      {"\n\n" + `{"kind":"Plan","name":"x}`, `f:3: not JSON: the document that starts here does not end (hint: is a bracket or a quote missing?)`},
		"json comma":         {"{\"kind\":\"Plan\",\n}", `f:2: not JSON: invalid character '}' looking for beginning of object key string`},
		"json array of text": {`[{"kind":"Plan"}, 5]`, `f:1: expected a JSON object, got '5'`},
		"json array open":    {`[{"kind":"Plan"}`, `f:1: not JSON: the array does not end`},
		"json after array":   {`[{"kind":"Plan"}] {}`, `f:1: there is something after the array`},
	} {
		t.Run(name, func(t *testing.T) {
			es := faultsOf(t, tc.text)
			if len(es) == 0 {
				t.Fatal("accepted")
			}
			if got := es[0].Error(); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestKeysAreNotRepeated: a private key, or a part of one, that stands in the wrong place
// or form is not in the fault.
func TestKeysAreNotRepeated(t *testing.T) {
	const issuer = "kind: Issuer\nid: i\n"
	for name, text := range map[string]string{
		"key for list":          issuer + "keys: {pem: '%s'}",
		"number for key":        issuer + "keys: {pem: [%s]}",
		"key for set":           issuer + "keys: {jwks: '%s'}",
		"number of set":         issuer + "keys: {jwks: {keys: [{d: %s}]}}",
		"number beyond all":     issuer + "keys: {jwks: {keys: [{d: %se999999}]}}",
		"key for keys":          issuer + "keys: '%s'",
		"key for secrets":       issuer + "keys: {hmac_secrets: '%s'}",
		"number for root":       issuer + "jwks: {ca_pem: %s}",
		"number for cert":       issuer + "jwks: {client_cert_pem: %s}",
		"key for settings":      issuer + "jwks: '%s'",
		"key for introspection": issuer + "introspection: '%s'",
		"key for certificates":  "kind: Application\nid: i\ncertificates: '%s'",
		"key for anything":      "kind: Plan\nid: i\ntags: '%s'",
		"key for api keys":      "kind: Application\nid: i\napi_keys: '%s'",
	} {
		key := "12345678901234567890"
		if strings.Contains(text, "'") {
			key = "-----BEGIN PRIVATE KEY-----"
		}
		for _, f := range faultsOf(t, fmt.Sprintf(text, key)) {
			if s := f.Error(); strings.Contains(s, key[:8]) || !strings.HasPrefix(s, "f:3: ") {
				t.Errorf("%s: %s", name, s)
			}
		}
	}
}

func TestYAMLSyntaxNamesTheLine(t *testing.T) {
	for name, text := range map[string]string{
		"tab":       "kind: Plan\nid: p\n---\nkind: Plan\n\tid: q\n",
		"unclosed":  "kind: Plan\nid: p\n---\nkind: Plan\nid: [q\n",
		"bad alias": "kind: Plan\nid: p\n---\nkind: Plan\nid: *q\n",
		"indent":    "kind: Plan\nid: p\n---\nkind: Plan\n  id: q\n",
	} {
		es := faultsOf(t, text)
		if len(es) != 1 || es[0].Line < 4 || es[0].Line > 6 || !strings.HasPrefix(es[0].Message, "not YAML: ") {
			t.Errorf("%s: %v", name, es)
		}
		t.Log(es)
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	es := faultsOf(t, "kind: Plan\nid: p\nfoo: 1\norder: x\n---\nkind: Nope\n---\nkind: Api\n\tx\n---\nkind: Api\nid: 5\n")
	var lines []int
	for _, e := range es {
		lines = append(lines, e.Line)
	}
	if fmt.Sprint(lines) != "[3 4 6 9 12]" {
		t.Errorf("lines %v: %v", lines, es)
	}
}

func TestManyFaultsAreCounted(t *testing.T) {
	es := faultsOf(t, strings.Repeat("kind: Plan\nfoo: 1\n---\n", 500))
	if len(es) != 101 || !strings.Contains(es[100].Message, "500 faults in all") {
		t.Errorf("got %d, the last %v", len(es), es[len(es)-1])
	}
}

func TestBounds(t *testing.T) {
	bomb := "kind: Issuer\nid: i\nkeys:\n  jwks:\n    a: &a [" + strings.Repeat("1,", 10) + "]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("    %c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	for name, tc := range map[string]struct{ text, want string }{
		"alias bomb":    {bomb, "values, aliases expanded"},
		"self alias":    {"kind: Issuer\nkeys: &a {jwks: {a: *a}}", "nested deeper than 32 levels"},
		"depth":         {"kind: Issuer\nkeys: {jwks: {a: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}}", "nested deeper"},
		"great depth":   {"kind: Issuer\nkeys: {jwks: {a: " + strings.Repeat("[", 100_000), ""},
		"json depth":    {`{"kind":"Issuer","keys":{"jwks":{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}}}", "nested deeper than 32 levels"},
		"json nodes":    {`{"kind":"Issuer","keys":{"jwks":{"a":[` + strings.Repeat("1,", maxNodesForTest) + "1]}}}", "values"},
		"document":      {"kind: Plan\nname: " + strings.Repeat("x", 1<<20), "larger than 1 MiB"},
		"json document": {`{"kind":"Plan","name":"` + strings.Repeat("x", 1<<20) + `"}`, "larger than 1 MiB"},
		"file":          {strings.Repeat("#", 64<<20+1), "larger than 64 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			es := faultsOf(t, tc.text)
			if len(es) == 0 || !strings.Contains(es[0].Message, tc.want) {
				t.Errorf("got %v", es)
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

const maxNodesForTest = 200_000

func TestBodyKind(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		kind pb.Kind
		want string // empty: accepted
	}{
		"implied":      {`{"id":"a"}`, pb.Kind_KIND_API, ""},
		"repeated":     {`{"kind":"Api","id":"a"}`, pb.Kind_KIND_API, ""},
		"contradicted": {`{"kind":"Plan"}`, pb.Kind_KIND_API, `b:1: kind: the kind here is Api, not Plan`},
		"missing":      {`{"id":"a"}`, pb.Kind_KIND_UNSPECIFIED, `b:1: the field kind is missing (hint: one of Issuer, Api, Plan, Application, Subscription, Revocation)`},
		"trailing":     {"{}\n{}", pb.Kind_KIND_API, `b:2: there is something after the document (hint: send one JSON object)`},
		"empty":        {``, pb.Kind_KIND_API, `b:1: not JSON: the document ends too early`},
		"list":         {`[]`, pb.Kind_KIND_API, `b:1: a document must be an object with the field kind, not a list (hint: separate the resources of a file by lines of ---)`},
		"not UTF-8":    {"{\n\"id\":\"\xff\"}", pb.Kind_KIND_API, `b:2: the text is not UTF-8`},
		"large":        {strings.Repeat(" ", 1<<20+1), pb.Kind_KIND_API, `b: the document is larger than 1 MiB`},
	} {
		r, err := resource.DecodeJSON("b", []byte(tc.text), tc.kind)
		switch {
		case tc.want == "" && (err != nil || r.GetId() != "a"):
			t.Errorf("%s: %v %v", name, r, err)
		case tc.want != "" && (err == nil || err.Error() != tc.want):
			t.Errorf("%s: got  %v\nwant %s", name, err, tc.want)
		}
	}
}

// The contract's file must be in the repository as it was agreed.
func TestContractFileIsComplete(t *testing.T) {
	data, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "\n---\n"); n != 8 {
		t.Errorf("%d documents", n)
	}
}
