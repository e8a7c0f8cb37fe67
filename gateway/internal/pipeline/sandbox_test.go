package pipeline_test

import (
	"errors"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/denial"
)

const sandboxClient = `
kind: Application
id: mobile
name: Mobile
clients: [{issuer: acme, client_id: mobile-app}, {issuer: acme, client_id: try-out, environment: SANDBOX}]
`

func TestSandbox(t *testing.T) {
	withSandbox := `{kind: Api, id: orders, name: Orders, version: "1", context_path: /orders, upstream: {targets: [{url: "http://127.0.0.1:9"}], sandbox_targets: [{url: "http://127.0.0.1:8"}]}}`
	production := get("/orders", bearer())
	sandbox := get("/orders", "Authorization: Bearer "+tokenOf("https://acme.test", "try-out"))
	for name, c := range map[string]struct {
		api  string
		want error
	}{"with": {withSandbox, nil}, "without": {"", denial.SandboxNotServed}} {
		w := newWorld(t, common, orders, sandboxClient, `
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme]}
restrictions: {quota: {requests: 1, period: 1h}}
`, c.api)
		for range 3 { // a refused request uses no quota
			d, err := w.decide(sandbox)
			if c.want != nil && !errors.Is(err, c.want) || c.want != nil && d.Forward.Sandbox {
				t.Errorf("%s: %v, sandbox %v", name, err, d.Forward.Sandbox)
			}
			if c.want == nil {
				if err != nil || !d.Forward.Sandbox {
					t.Errorf("%s: %v, sandbox %v", name, err, d.Forward.Sandbox)
				}
				break
			}
		}
		d, err := w.decide(production)
		if c.want != nil && (err != nil || d.Forward.Sandbox) {
			t.Errorf("%s: production: %v, sandbox %v", name, err, d.Forward.Sandbox)
		}
		if d.Forward.Sandbox {
			t.Errorf("%s: a production client in the sandbox", name)
		}
	}
}
