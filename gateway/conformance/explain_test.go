package conformance_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What an operator is told over the network, by the fields of a request.
func TestExplain(t *testing.T) {
	rs := key{alg: "RS256", kid: "k1", private: pair(t, "rsa")}
	n := start(t, issuer("acme", `{jwks: `+jwks(t, jwk(t, "rsa", "k1"))+`}`), simple("a", "acme", "claims_to_headers: [{claim: email, header: X-Mail}]"))
	token := rs.token("acme", object{"email": "alice@acme.test"})
	question, err := json.Marshal(map[string]any{"host": "a.test", "path": "/a/v1?access_token=hidden", "method": "PUT", "token": token, "headers": map[string]string{"X-Secret": "hidden"}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.client.Post(n.admin+"/explain", "application/json", strings.NewReader(string(question)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", resp.Status, err)
	}
	var e explained
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{ // step → a detail
		"token": {"kid", "k1"}, "subscription": {"subscription", "acme-app.a-jwt"}, "forward": {"removed header", "Authorization"}, "route": {"below", "/v1"},
	}
	for _, s := range e.Steps {
		if d, ok := want[s.Step]; ok && s.Detail[d[0]] == d[1] {
			delete(want, s.Step)
		}
		if s.Step == "token" && len(s.Detail["key_thumbprint"]) != 43 {
			t.Errorf("thumbprint %q", s.Detail["key_thumbprint"])
		}
		if s.Step == "forward" && (s.Detail["path"] != "/v1" || s.Detail["set X-Mail"] != "15 bytes") {
			t.Errorf("forward: %v", s.Detail)
		}
	}
	if len(want) > 0 || !e.Allowed || e.Plan != "a-jwt" {
		t.Errorf("not told: %v in %s", want, text)
	}
	parts := strings.Split(token, ".")
	for _, hidden := range []string{"hidden", "alice@", parts[1], parts[2], sha(token)} {
		if strings.Contains(string(text), hidden) {
			t.Errorf("%s is in %s", hidden, text)
		}
	}
	if n.reached.Load() != 0 {
		t.Error("explaining has reached the upstream")
	}
}
