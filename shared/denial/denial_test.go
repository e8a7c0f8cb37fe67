package denial

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// The table of refusals: what users and their tests rely on.
func TestTable(t *testing.T) {
	for _, test := range []struct {
		denial       *Denial
		status, code int
		reason       string
		challenge    string
	}{
		{APINotFound, 404, 900906, "api_not_found", ""},
		{MissingCredentials, 401, 900902, "missing_credentials", `Bearer realm="portcullis"`},
		{MissingAPIKey, 401, 900902, "missing_credentials", `ApiKey realm="portcullis"`},
		{MissingAnyCredentials, 401, 900902, "missing_credentials", `Bearer realm="portcullis", ApiKey realm="portcullis"`},
		{InvalidRequest, 400, 900901, "invalid_request", `Bearer realm="portcullis", error="invalid_request"`},
		{InvalidToken, 401, 900901, "invalid_token", `Bearer realm="portcullis", error="invalid_token"`},
		{InvalidAPIKey, 401, 900901, "invalid_api_key", `ApiKey realm="portcullis"`},
		{TokenExpired, 401, 900903, "token_expired", `Bearer realm="portcullis", error="invalid_token"`},
		{TokenRevoked, 401, 900904, "token_revoked", `Bearer realm="portcullis", error="invalid_token"`},
		{SandboxNotServed, 403, 900901, "sandbox_not_served", ""},
		{SubscriptionNotFound, 403, 900908, "subscription_not_found", `error="insufficient_scope"`},
		{SubscriptionInactive, 403, 900909, "subscription_inactive", `error="insufficient_scope"`},
		{InsufficientScope, 403, 900910, "insufficient_scope", `error="insufficient_scope"`},
		{ClaimRuleFailed, 403, 900910, "claim_rule_failed", `error="insufficient_scope"`},
		{RateLimited, 429, 900800, "rate_limited", ""},
		{QuotaExceeded, 429, 900804, "quota_exceeded", ""},
		{SpikeArrested, 429, 900807, "spike_arrested", ""},
		{ResourceForbidden, 403, 900906, "resource_forbidden", `error="insufficient_scope"`},
		{MethodNotAllowed, 405, 900906, "method_not_allowed", ""},
		{KeysUnavailable, 503, 900900, "keys_unavailable", ""},
		{UnboundToken, 401, 900901, "invalid_token", `DPoP realm="portcullis", error="invalid_token"`},
		{InvalidProof, 401, 900901, "invalid_dpop_proof", `DPoP realm="portcullis", error="invalid_dpop_proof"`},
		{UnboundToken, 401, 900901, "invalid_token", `algs="ES256 ES384 ES512 ES256K EdDSA Ed25519 Ed448 PS256 PS384 PS512 RS256 RS384 RS512"`},
		{InvalidCertificate, 401, 900901, "invalid_certificate", `Bearer realm="portcullis"`},
		{ProofsUnavailable, 503, 900900, "proofs_unavailable", ""},
		{IntrospectionUnavailable, 503, 900900, "introspection_unavailable", ""},
		{MissingCredentials.WithDPoP(false), 401, 900902, "missing_credentials", `Bearer realm="portcullis", DPoP realm="portcullis", algs="`},
		{MissingAnyCredentials.WithDPoP(true), 401, 900902, "missing_credentials", `DPoP realm="portcullis", algs="` + DPoPAlgorithms + `", ApiKey realm="portcullis"`},
		{UpstreamUnreachable, 502, 0, "upstream_unreachable", ""},
		{UpstreamTimeout, 504, 0, "upstream_timeout", ""},
		{BadRequest, 400, 0, "bad_request", ""},
		{RequestTooLarge, 413, 0, "request_too_large", ""},
		{HeaderTooLarge, 431, 0, "header_too_large", ""},
		{ExpectationFailed, 417, 0, "expectation_failed", ""},
		{RequestTimeout, 408, 0, "request_timeout", ""},
		{VersionNotSupported, 505, 0, "version_not_supported", ""},
		{Internal, 500, 0, "internal_error", ""},
		{NotReady, 503, 0, "not_ready", ""},
	} {
		d := test.denial
		a := d.Answer(pb.Api_PROBLEM)
		if d.Status() != test.status || a.Status != test.status || d.Code() != test.code || d.Reason() != test.reason || d.Error() != test.reason {
			t.Errorf("%s: %d %d", d.Reason(), d.Status(), d.Code())
		}
		if !strings.Contains(a.Challenge, test.challenge) || (test.challenge == "") != (a.Challenge == "") {
			t.Errorf("%s: challenge %q, want %q", d.Reason(), a.Challenge, test.challenge)
		}
		var body struct {
			Type, Title, Detail, Reason string
			Status, Code                int
		}
		if err := json.Unmarshal(a.Body, &body); err != nil || a.ContentType != "application/problem+json" || body.Status != test.status ||
			body.Code != test.code || body.Reason != test.reason || body.Title == "" || body.Detail == "" || !strings.HasPrefix(body.Type, "urn:portcullis:denial:") {
			t.Errorf("%s: body %s", d.Reason(), a.Body)
		}
		if d.Answer(99).Status != test.status {
			t.Errorf("%s: an unknown format has another status", d.Reason())
		}
		for format := range pb.Api_ErrorFormat_name {
			a := d.Answer(pb.Api_ErrorFormat(format))
			if !json.Valid(a.Body) || a.Status < 400 {
				t.Errorf("%s in format %d: %d %s", d.Reason(), format, a.Status, a.Body)
			}
			if a.Status == 401 && a.Challenge == "" {
				t.Errorf("%s in format %d: 401 without challenge", d.Reason(), format)
			}
			if a.Status == 401 && strings.Contains(a.Challenge, "insufficient_scope") {
				t.Errorf("%s in format %d: 401 with %s", d.Reason(), format, a.Challenge)
			}
		}
	}
}

func TestForeignFormats(t *testing.T) {
	for _, test := range []struct {
		denial *Denial
		format pb.Api_ErrorFormat
		status int
		body   string
	}{
		{MissingCredentials, pb.Api_WSO2, 401, `{"fault":{"code":900902,"message":"Missing Credentials","description":"Missing Credentials. Make sure your API request provides required credentials"}}`},
		{InvalidToken, pb.Api_WSO2, 401, `{"fault":{"code":900901,"message":"Invalid Credentials","description":"Invalid Credentials. Make sure you have given the correct access token"}}`},
		{SubscriptionNotFound, pb.Api_WSO2, 403, `{"fault":{"code":900908,"message":"Resource forbidden ","description":"Resource forbidden "}}`},
		{SubscriptionInactive, pb.Api_WSO2, 401, `{"fault":{"code":900909,"message":"The subscription to the API is inactive","description":"The subscription to the API is inactive"}}`},
		{SandboxNotServed, pb.Api_WSO2, 403, `{"ERROR_CODE":"900901","ERROR_MESSAGE":"Sandbox key offered to the API with no sandbox endpoint"}`},
		{RateLimited, pb.Api_WSO2, 429, `{"fault":{"code":900800,"message":"Message throttled out","description":"You have exceeded your quota"}}`},
		{KeysUnavailable, pb.Api_WSO2, 500, `{"fault":{"code":900900,"message":"Unclassified Authentication Failure","description":"Unclassified Authentication Failure"}}`},
		{SubscriptionNotFound, pb.Api_GRAVITEE, 401, `{"message":"Unauthorized","http_status_code":401}`},
		{InsufficientScope, pb.Api_GRAVITEE, 401, `{"message":"Unauthorized","http_status_code":401}`},
		{ResourceForbidden, pb.Api_GRAVITEE, 403, `{"message":"You're not allowed to access this resource","http_status_code":403}`},
		{APINotFound, pb.Api_GRAVITEE, 404, `{"message":"No context-path matches the request URI.","http_status_code":404}`},
		{MissingCredentials, pb.Api_FLEX, 400, `{"error":"JWT Token is required."}`},
		{TokenExpired, pb.Api_FLEX, 401, `{"error":"Invalid token."}`},
		{ClaimRuleFailed, pb.Api_FLEX, 401, `{"error":"Invalid token."}`},
		{QuotaExceeded, pb.Api_FLEX, 429, `{"error":"Too Many Requests"}`},
	} {
		a := test.denial.Answer(test.format)
		if a.Status != test.status || string(a.Body) != test.body || a.ContentType != "application/json" {
			t.Errorf("%s as %s: %d %s", test.denial.Reason(), test.format, a.Status, a.Body)
		}
	}
	if a := InvalidToken.Answer(pb.Api_GRAVITEE); string(a.Text) != "Unauthorized" {
		t.Errorf("text: %q", a.Text)
	}
}

func TestWithScope(t *testing.T) {
	d := InsufficientScope.WithScope("orders:read orders:write")
	if c := d.Answer(pb.Api_PROBLEM).Challenge; !strings.HasSuffix(c, `, scope="orders:read orders:write"`) {
		t.Errorf("challenge %q", c)
	}
	wrapped := fmt.Errorf("at the plan: %w", d)
	if !errors.Is(wrapped, InsufficientScope) || errors.Is(wrapped, ClaimRuleFailed) || errors.Is(MissingAPIKey, MissingCredentials) {
		t.Error("errors.Is does not tell refusals apart")
	}
	if InsufficientScope.WithScope(`a"b`) != InsufficientScope || InsufficientScope.WithScope("") != InsufficientScope {
		t.Error("a scope that cannot be quoted is in the challenge")
	}
}

// A cause is for operators: clients and errors.Is see one refusal.
func TestBecause(t *testing.T) {
	for _, d := range []*Denial{InvalidToken, Internal, InsufficientScope.WithScope("a"), MissingCredentials.WithDPoP(true)} {
		other := d.Because(cause.Audience)
		if other.Cause() != cause.Audience || !errors.Is(other, d) || !errors.Is(d, other) || errors.Is(other, NotReady) {
			t.Errorf("%s: %s is another refusal", d, other.Cause())
		}
		if a, b := d.Answer(pb.Api_PROBLEM), other.Answer(pb.Api_PROBLEM); string(a.Body) != string(b.Body) || a.Challenge != b.Challenge {
			t.Errorf("%s: the cause changes the answer", d)
		}
	}
	if d := InsufficientScope.WithScope("a"); d.Cause() != InsufficientScope.Cause() || d.Cause() == cause.Unspecified {
		t.Errorf("a scope changes the cause to %s", d.Cause())
	}
	if c := InvalidToken.Because(cause.Count + 1).Cause().String(); c != "unspecified" {
		t.Errorf("a cause that there is not: %s", c)
	}
}

func TestAnswerDoesNotAllocate(t *testing.T) {
	var err error = InvalidToken
	if n := testing.AllocsPerRun(100, func() {
		d, _ := errors.AsType[*Denial](err)
		_ = d.Because(cause.Audience).Answer(pb.Api_WSO2)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A challenge that also asks for DPoP is the same refusal; one that speaks of a
// bound token is another than that of a plain one.
func TestDPoPAndIs(t *testing.T) {
	for _, only := range []bool{false, true} {
		if d := MissingCredentials.WithDPoP(only); !errors.Is(d, MissingCredentials) || !errors.Is(MissingCredentials, d) {
			t.Errorf("only %v: another refusal", only)
		}
	}
	if errors.Is(UnboundToken, InvalidToken) || errors.Is(InvalidToken, UnboundToken) {
		t.Error("a bound and an unbound token are refused alike")
	}
}
