package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/rest/openapi"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func TestOpenAPIIsCurrent(t *testing.T) {
	t.Parallel()
	want, err := openapi.Generate(t.Context(), "../../../proto")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("openapi.yaml is not what go generate ./keymanager-sync/internal/rest writes:\n%s", cmp.Diff(string(got), string(want)))
	}
}

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	doc := document(t)
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("version %s", doc.OpenAPI)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Summary == "" || op.OperationID == "" || op.Responses.Len() == 0 {
				t.Errorf("%s %s is not described", method, path)
			}
			for _, p := range op.Parameters {
				if p.Value.Description == "" {
					t.Errorf("%s %s: parameter %s is not described", method, path, p.Value.Name)
				}
			}
		}
	}
}

// contract checks every exchange with a server against the document, and keeps
// which operations were seen.
type contract struct {
	*control
	router routers.Router
	seen   map[string]bool
}

func (c *contract) exchange(method, path, body string, headers ...string) {
	c.t.Helper()
	a := c.call(method, path, body, headers...)
	u, err := url.Parse(c.url + path)
	if err != nil {
		c.t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Host: u.Host, Header: http.Header{"Content-Type": {"application/json"}}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		c.t.Errorf("%s %s: the document does not have it: %v", method, path, err)
		return
	}
	c.seen[route.Operation.OperationID] = true
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}}
	if a.status < 400 {
		r.Body = readCloser(body)
		if err := openapi3filter.ValidateRequest(c.t.Context(), input); err != nil {
			c.t.Errorf("%s %s was taken, and the document refuses it: %v", method, path, err)
		}
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), "application/x-ndjson") {
		return // checked line by line below
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	out.SetBodyBytes([]byte(a.body))
	if err := openapi3filter.ValidateResponse(c.t.Context(), out); err != nil {
		c.t.Errorf("%s %s: status %d: %v\n%s", method, path, a.status, err, a.body)
	}
}

type body struct{ *strings.Reader }

func (body) Close() error { return nil }

func readCloser(text string) body { return body{strings.NewReader(text)} }

// TestContract holds what the server answers against what the document says,
// for every operation there is.
func TestContract(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"application/yaml", "application/x-ndjson", "application/vnd.portcullis.snapshot"} {
		openapi3filter.RegisterBodyDecoder(format, openapi3filter.FileBodyDecoder)
	}
	doc := document(t)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{control: start(t, options{}), router: router, seen: map[string]bool{}}
	c.exchange("POST", "/v1/apply?dry_run=true", seed, asYAML)
	c.exchange("POST", "/v1/apply", seed, asYAML)
	c.exchange("POST", "/v1/apply", "kind: Plan\nid: x\nfoo: 1\n", asYAML)
	c.exchange("POST", "/v1/import?id=x", "kind: Application\nid: imported\nname: I\n", asYAML)
	c.beat("gw-1", 1)
	member := command.Members{Present: []*pb.Member{{Id: "gw-0", Version: "v1", Schema: 2, Epoch: 1, Sequence: 1, HeardAt: timestamppb.Now()}}}
	if _, err := c.book.Submit(t.Context(), member, ledger.Meta{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range contractExchanges() {
		parts := strings.SplitN(e, " ", 3)
		c.exchange(parts[0], parts[1], strings.Join(parts[2:], ""))
	}
	c.exchange("GET", "/v1/plans/gold", "", `If-None-Match: "3"`)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !c.seen[op.OperationID] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
	c.imports(doc)
}

func contractExchanges() []string {
	return []string{
		`POST /v1/issuers {"id":"i2","issuer":"https://two.test","keys":{"jwks_urls":["http://127.0.0.1:1/"]},"clock_skew":"5s"}`,
		`GET /v1/issuers`,
		`GET /v1/issuers/i2`,
		`PUT /v1/issuers/i2 {"issuer":"https://two.test","keys":{"hmac_secrets":[{"value":"0123456789abcdef0123456789abcdef"}]},"algorithms":["HS256"]}`,
		`DELETE /v1/issuers/i2`,
		`DELETE /v1/issuers/idp`,
		`POST /v1/apis {"id":"a2","name":"Two","context_path":"/two","upstream":{"targets":[{"url":"http://127.0.0.1:1","weight":2}],"max_request_body":"1MiB"}}`,
		`POST /v1/apis {"id":"a2"}`,
		`GET /v1/apis?limit=1`,
		`GET /v1/apis/orders`,
		`PUT /v1/apis/a2 {"name":"Two","context_path":"/two","upstream":{"targets":[{"url":"http://127.0.0.1:2"}],"response_timeout":"90s"}}`,
		`POST /v1/apis/a2/deploy`,
		`POST /v1/apis/orders/deploy`,
		`POST /v1/apis/orders/stop`,
		`POST /v1/apis/orders/start`,
		`POST /v1/apis/orders/publish`,
		`POST /v1/apis/orders/unpublish`,
		`POST /v1/apis/orders/deprecate`,
		`POST /v1/apis/orders/rollback`,
		`POST /v1/apis/orders/rollback?revision=99`,
		`GET /v1/apis/orders/deployment`,
		`GET /v1/deployments`,
		`GET /v1/deployments/orders`,
		`GET /v1/key-sets`,
		`GET /v1/key-sets/idp`,
		`DELETE /v1/apis/a2`,
		`POST /v1/plans {"id":"p2","api":"orders","name":"P","security":"JWT","jwt":{"issuers":["idp"],"claim_rules":[{"claim":"t","equals":{"a":[1,null]}}]},"restrictions":{"rate_limit":{"requests":10,"period":"1s"}}}`,
		`GET /v1/plans?status=STAGING`,
		`GET /v1/plans?status=WRONG`,
		`GET /v1/plans/p2`,
		`GET /v1/plans/none`,
		`PUT /v1/plans/p3 {"api":"orders","name":"P","security":"KEYLESS"}`,
		`DELETE /v1/plans/p3`,
		`POST /v1/plans/p2/publish`,
		`POST /v1/plans/p2/publish`,
		`POST /v1/applications {"id":"app","name":"A","clients":[{"issuer":"idp","client_id":"c"}],"api_keys":[{"id":"k","sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","expires_at":"2030-01-01T00:00:00Z"}]}`,
		`POST /v1/applications?wait=fleet&timeout=100ms {"id":"app3","name":"A"}`,
		`GET /v1/applications`,
		`GET /v1/applications/app?min_sequence=99999&timeout=10ms`,
		`PUT /v1/applications/app2 {"name":"A"}`,
		`DELETE /v1/applications/app2?wait=fleet&timeout=100ms`,
		`POST /v1/subscriptions {"id":"s1","application":"app","plan":"p2","starts_at":"2026-01-01T00:00:00Z"}`,
		`POST /v1/subscriptions/s1/accept`,
		`POST /v1/subscriptions/s1/pause`,
		`POST /v1/subscriptions/s1/resume`,
		`POST /v1/subscriptions/s1/close`,
		`PUT /v1/subscriptions/s2 {"application":"app3","plan":"p2"}`,
		`POST /v1/subscriptions/s2/reject`,
		`GET /v1/subscriptions?api=orders`,
		`GET /v1/subscriptions/s2`,
		`DELETE /v1/subscriptions/s2`,
		`POST /v1/plans/p2/deprecate`,
		`POST /v1/plans/p2/close`,
		`POST /v1/revocations {"id":"r","issuer":"idp","jti":"j","expires_at":"2099-01-01T00:00:00Z"}`,
		`GET /v1/revocations`,
		`GET /v1/revocations/r`,
		`PUT /v1/revocations/r2 {"issuer":"idp","subject":"s","expires_at":"2099-01-01T00:00:00Z","reason":"left"}`,
		`DELETE /v1/revocations/r`,
		`GET /v1/snapshot`,
		`GET /v1/fleet`,
		`GET /v1/members`,
		`GET /v1/members/gw-0`,
		`DELETE /v1/fleet/gw-0`,
		`GET /openapi.yaml`,
		`GET /healthz`,
		`GET /readyz`,
		`GET /metrics`,
	}
}

// imports checks the lines of an import against their schema.
func (c *contract) imports(doc *openapi3.T) {
	c.t.Helper()
	schema := doc.Components.Schemas["ImportProgress"].Value
	for _, body := range []string{applications(0, 2), "kind: Nothing\n"} {
		for text := range strings.Lines(c.must(200, "POST", "/v1/import", body).body) {
			value, err := decodeJSON(text)
			if err == nil {
				err = schema.VisitJSON(value, openapi3.EnableJSONSchema2020())
			}
			if err != nil {
				c.t.Errorf("%v: %s", err, text)
			}
		}
	}
}

// TestEveryAddressIsDocumented compares the server's own table with the document.
func TestEveryAddressIsDocumented(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	for path, item := range document(t).Paths.Map() {
		var want []string
		for method := range item.Operations() {
			want = append(want, method)
		}
		if slices.Contains(want, "GET") {
			want = append(want, "HEAD")
		}
		slices.Sort(want)
		a := c.must(http.StatusMethodNotAllowed, "TRACE", strings.ReplaceAll(path, "{id}", "x"), "")
		if got := a.header.Get("Allow"); got != strings.Join(want, ", ") {
			t.Errorf("%s: the server has %s, the document %v", path, got, want)
		}
	}
}

func decodeJSON(text string) (value any, err error) {
	err = json.Unmarshal([]byte(text), &value)
	return value, err
}
