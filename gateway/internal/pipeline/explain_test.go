package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

func TestExplain(t *testing.T) {
	w := newWorld(t, common, api,
		plan("a", "JWT", acme), plan("b", "JWT", acme, `selection_rule: "false"`), plan("key", "API_KEY"),
		plan("c", "JWT", "jwt: {issuers: [acme], scopes: {all: [x]}, claims_to_headers: [{claim: sub, header: X-User}]}", "order: 1",
			"restrictions: {quota: {requests: 1, period: 1h}, resource_filter: {deny: [{path: /secret}]}}"),
		subscribed("mobile", "c"), paused("a"), subscribed("mobile", "key"))
	tests := []struct {
		name  string
		r     *request.Request
		steps []string
		want  error
	}{
		{"passed", get("/orders", bearer(`"scope":"x"`)), []string{
			"route passed", "credential passed", "token passed", "a subscription subscription_inactive", "b selection_rule skipped",
			"c subscription passed", "c rules passed", "c resource_filter passed", "c limits passed", "c forward passed",
		}, nil},
		{"scope", get("/orders", bearer()), []string{
			"route passed", "credential passed", "token passed", "a subscription subscription_inactive", "b selection_rule skipped",
			"c subscription passed", "c rules insufficient_scope",
		}, denial.InsufficientScope},
		{"filtered", get("/orders/secret", bearer(`"scope":"x"`)), []string{
			"route passed", "credential passed", "token passed", "a subscription subscription_inactive", "b selection_rule skipped",
			"c subscription passed", "c rules passed", "c resource_filter resource_forbidden",
		}, denial.ResourceForbidden},
		{"key", get("/orders", key), []string{
			"route passed", "credential passed", "a presented skipped", "b presented skipped", "c presented skipped",
			"key api_key passed", "key subscription passed", "key resource_filter passed", "key forward passed",
		}, nil},
		{"nothing", get("/orders"), []string{
			"route passed", "credential passed", "a presented skipped", "b presented skipped", "c presented skipped", "key presented skipped",
			"plans missing_credentials",
		}, denial.MissingAnyCredentials},
		{"bad token", get("/orders", "Authorization: Bearer junk"), []string{"route passed", "credential passed", "token invalid_token"}, denial.InvalidToken},
		{"two", get("/orders", bearer(), key), []string{"route passed", "credential invalid_request"}, denial.InvalidRequest},
		{"nowhere", get("/x"), []string{"route api_not_found"}, denial.APINotFound},
	}
	for _, tt := range tests {
		for range 3 { // the quota is one: an explanation does not use it up
			d := &pipeline.Decision{}
			trace, err := w.pipeline.Explain(w.view, tt.r, d)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
			var got []string
			for _, s := range trace.Steps {
				got = append(got, strings.TrimSpace(fmt.Sprintln(strings.TrimSpace(s.Plan+" "+s.Name), s.Outcome)))
			}
			if !slices.Equal(got, tt.steps) {
				t.Errorf("%s: got\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.steps, "\n"))
			}
		}
	}
	// Decide comes to the same.
	for _, tt := range tests {
		if _, err := w.decide(tt.r); !errors.Is(err, tt.want) {
			t.Errorf("%s: decided %v, explained %v", tt.name, err, tt.want)
		}
	}
}

func TestExplainSaysWhy(t *testing.T) {
	w := newWorld(t, common, orders, `
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme], claim_rules: [{claim: a, expression: "true"}, {claim: tenant, mandatory: true, equals: acme}]}
restrictions: {quota: {requests: 1, period: 1h}}
`)
	last := func(r *request.Request) map[string]string {
		trace, _ := w.pipeline.Explain(w.view, r, &pipeline.Decision{})
		return trace.Steps[len(trace.Steps)-1].Detail
	}
	if got := last(get("/orders", bearer()))["field"]; got != "jwt.claim_rules[1] (tenant)" {
		t.Errorf("claim rule: %s", got)
	}
	if got := last(get("/orders", "Authorization: Bearer "+tokenOf("https://evil.test", "x")))["reason"]; !strings.Contains(got, "iss") {
		t.Errorf("issuer: %s", got)
	}
	good := get("/orders", bearer(`"tenant":"acme"`))
	w.expect("uses up the quota", good, allow("orders-jwt", "mobile"))
	if got := last(good)["limit"]; got != `"quota";r=0;t=3600` {
		t.Errorf("quota: %s", got)
	}
}

func TestExplainMasksSecrets(t *testing.T) {
	w := newWorld(t, common, api, plan("jwt", "JWT", "jwt: {issuers: [acme], claims_to_headers: [{claim: email, header: X-Mail}]}"), plan("key", "API_KEY"),
		subscribed("mobile", "jwt"), subscribed("mobile", "key"))
	good := token(`"email":"alice@acme.test"`)
	for _, r := range []*request.Request{get("/orders", "Authorization: Bearer "+good), get("/orders", key)} {
		trace, err := w.pipeline.Explain(w.view, r, &pipeline.Decision{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(trace)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"hello", keyHash, "alice@", strings.Split(good, ".")[1], strings.Split(good, ".")[2]} {
			if strings.Contains(string(text), s) {
				t.Errorf("%s is in %s", s, text)
			}
		}
	}
}
