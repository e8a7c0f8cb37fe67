package conformance_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What an Api answers in the formats of the three products, over the network.
func TestErrorFormats(t *testing.T) {
	rs := key{alg: "RS256", kid: "k1", private: pair(t, "rsa")}
	down := "http://127.0.0.1:9/jwks"
	resources := issuer("acme", `{jwks: `+jwks(t, jwk(t, "rsa", "k1"))+`}`) + application("other", "acme other-app") + issuer("down", "{jwks_urls: ["+down+"]}") +
		"---\nkind: Revocation\nid: r\nissuer: acme\njti: revoked\n"
	const limits = "restrictions: {resource_filter: {deny: [{path: /secret}], allow: [{path: /secret}, {path: /**, methods: [GET]}]}}"
	for _, format := range []string{"wso2", "gravitee", "flex"} {
		f := func(s string) string {
			return strings.Replace(s, "context_path:", "error_format: "+strings.ToUpper(format)+"\ncontext_path:", 1)
		}
		resources += f(api(format)) + plan(format+"-jwt", "JWT", "jwt: {issuers: [acme, down], scopes: {any: [read]}}", limits) + subscribe("acme-app", format+"-jwt") + dated("other", format+"-jwt", "ends_at: "+at(-60)) +
			f(api(format+"key")) + plan(format+"key-key", "API_KEY") +
			f(api(format+"limit")) + plan(format+"limit-jwt", "JWT", "jwt: {issuers: [acme]}", "restrictions: {rate_limit: {requests: 1, period: 1h}}") + subscribe("acme-app", format+"limit-jwt")
	}
	n := start(t, resources)
	token := func(changes object) []string { return []string{bearer(rs.token("acme", changes))} }
	good := token(object{"scope": "read"})
	for name, calls := range map[string]struct {
		call
		wso2, gravitee, flex string // status and body
	}{
		"none":            {call{}, fault("401", "900902", "Missing Credentials", "Missing Credentials. Make sure your API request provides required credentials"), unauthorized, `400 {"error":"JWT Token is required."}`},
		"malformed":       {call{header: []string{"Authorization: Bearer"}}, badCredentials, unauthorized, invalidToken},
		"bad":             {call{header: []string{bearer("junk")}}, badCredentials, unauthorized, invalidToken},
		"expired":         {call{header: token(object{"exp": time.Now().Unix() - 60})}, badCredentials, unauthorized, invalidToken},
		"revoked":         {call{header: token(object{"jti": "revoked", "scope": "read"})}, badCredentials, unauthorized, invalidToken},
		"no subscription": {call{header: token(object{"azp": "nobody"})}, fault("403", "900908", "Resource forbidden ", "Resource forbidden "), unauthorized, `403 {"error":"Invalid client application credentials."}`},
		"it has ended":    {call{header: token(object{"azp": "other-app"})}, fault("401", "900909", "The subscription to the API is inactive", "The subscription to the API is inactive"), unauthorized, `403 {"error":"Invalid client application credentials."}`},
		"scope": {
			call{header: token(nil)},
			fault("403", "900910", "The access token does not allow you to access the requested resource", "The access token does not allow you to access the requested resource"), unauthorized,
			`403 {"error":"Invalid token."}`,
		},
		"resource": {
			call{target: "/secret", header: good},
			fault("403", "900906", "No matching resource found in the API for the given request", "No matching resource found in the API for the given request"),
			`403 {"message":"You're not allowed to access this resource","http_status_code":403}`, `403 {"error":"Forbidden"}`,
		},
		"method": {
			call{method: "DELETE", target: "/x", header: good},
			fault("405", "900906", "No matching resource found in the API for the given request", "No matching resource found in the API for the given request"),
			`405 {"message":"Method Not Allowed","http_status_code":405}`, `405 {"error":"Method Not Allowed"}`,
		},
		"no keys": {
			call{header: []string{bearer(rs.token("down", nil))}},
			fault("500", "900900", "Unclassified Authentication Failure", "Unclassified Authentication Failure"),
			`500 {"message":"Internal Server Error","http_status_code":500}`, `503 {"error":"Service Unavailable"}`,
		},
	} {
		for format, want := range map[string]string{"wso2": calls.wso2, "gravitee": calls.gravitee, "flex": calls.flex} {
			n.answers(name+" as "+format, "/"+format, calls.call, want)
		}
	}
	for format, want := range map[string][2]string{
		"wso2":     {fault("401", "900901", "Invalid Credentials", "Invalid Credentials. Make sure you have given the correct access token"), fault("429", "900800", "Message throttled out", "You have exceeded your quota")},
		"gravitee": {unauthorized, `429 {"message":"Rate limit exceeded!","http_status_code":429}`},
		"flex":     {`401 {"error":"Authentication Attempt Failed"}`, `429 {"error":"Too Many Requests"}`},
	} {
		n.answers("API key as "+format, "/"+format+"key", call{header: []string{"X-Api-Key: x"}}, want[0])
		if got := n.ask(call{target: "/" + format + "limit", header: good}); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", format, got.status, got.body)
		}
		n.answers("limit as "+format, "/"+format+"limit", call{header: good}, want[1])
		text := n.ask(call{target: "/" + format, header: []string{"Accept: text/html"}})
		if isText := strings.HasPrefix(text.header.Get("Content-Type"), "text/plain"); isText != (format == "gravitee") || isText && text.body != "Unauthorized" {
			t.Errorf("%s for a client without JSON: %s %s", format, text.header.Get("Content-Type"), text.body)
		}
	}
	n.answers("nowhere", "/nowhere", call{}, `404 {"type":"urn:portcullis:denial:api_not_found","title":"Not found","status":404,"detail":"There is no API on this host and path.","code":900906,"reason":"api_not_found"}`)
}

const (
	unauthorized   = `401 {"message":"Unauthorized","http_status_code":401}`
	invalidToken   = `401 {"error":"Invalid token."}`
	badCredentials = `401 {"fault":{"code":900901,"message":"Invalid Credentials","description":"Invalid Credentials. Make sure you have given the correct access token"}}`
)

func fault(status, code, message, description string) string {
	return status + ` {"fault":{"code":` + code + `,"message":"` + message + `","description":"` + description + `"}}`
}

func (n *node) answers(name, base string, c call, want string) {
	n.t.Helper()
	c.target = base + c.target
	c.header = append([]string{"Accept: application/json"}, c.header...)
	got := n.ask(c)
	if text := strconv.Itoa(got.status) + " " + got.body; text != want || got.reached != 0 {
		n.t.Errorf("%s: got %d %s, want %s", name, got.status, got.body, want)
	}
	if !strings.HasSuffix(strings.TrimSuffix(got.header.Get("Content-Type"), "; charset=utf-8"), "json") {
		n.t.Errorf("%s: content type %s", name, got.header.Get("Content-Type"))
	}
	if challenge := got.header.Get("WWW-Authenticate"); got.status == http.StatusUnauthorized && challenge == "" {
		n.t.Errorf("%s: 401 without a challenge", name)
	}
}
