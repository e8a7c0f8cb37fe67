package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"
)

const asYAML = "Content-Type: application/yaml"

type applied struct {
	Changes []struct {
		Ref, Action string
		Fields      []struct{ Path, From, To string }
	}
	Notes []struct{ Ref, Text string }
	Text  string
}

func (c *control) apply(query, body string) applied {
	c.t.Helper()
	return c.decodeApplied(c.must(http.StatusOK, "POST", "/v1/apply"+query, body, asYAML))
}

func (c *control) decodeApplied(a answer) applied {
	c.t.Helper()
	var out applied
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		c.t.Fatalf("%v: %s", err, a.body)
	}
	return out
}

// actions is "create plan/gold, …".
func (a applied) actions() string {
	list := make([]string, len(a.Changes))
	for i, d := range a.Changes {
		list[i] = d.Action + " " + d.Ref
	}
	return strings.Join(list, ", ")
}

func TestApplyTheContract(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../shared/resource/testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, options{})
	first := c.apply("", string(text))
	contains(t, first.actions(), "create issuer/acme", "create deployment/orders", "create subscription/mobile-orders", "create revocation/lost-phone")
	again := c.apply("", string(text))
	for _, d := range again.Changes {
		if d.Action != "unchanged" {
			t.Errorf("applied again: %s %s", d.Action, d.Ref)
		}
	}
	if a := c.must(200, "GET", "/v1/apis/orders", ""); a.field("revision") != float64(1) {
		t.Errorf("applied twice: %s", a.body)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	one := c.apply("", "kind: Subscription\nid: mobile-gold\napplication: mobile\nplan: gold\nstatus: PAUSED\n")
	if one.actions() != "update subscription/mobile-gold" || one.Text != "~ subscription/mobile-gold\n" {
		t.Errorf("%+v", one)
	}
	edit := strings.Replace(seed, "name: Orders", "name: Orders 2", 1)
	contains(t, c.apply("?deploy=false", edit).actions(), "update api/orders", "unchanged plan/gold")
	if a := c.must(200, "GET", "/v1/apis/orders", ""); a.field("out_of_sync") != true {
		t.Errorf("deploy=false: %s", a.body)
	}
	contains(t, c.apply("", edit).actions(), "update deployment/orders")
}

// Whoever pastes a key set is told of keys in it that are not used, and so is the log, also
// when the answer is the resource alone.
func TestKeysThatAreNotUsed(t *testing.T) {
	t.Parallel()
	log := new(record)
	c := start(t, options{log: log})
	keys := "keys: {jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}, {kid: enc, kty: RSA, use: enc}]}}\n"
	const want = `keys.jwks.keys[1] is not used: its use is "enc", not "sig" (kid "enc")`
	for name, query := range map[string]string{"rehearsed": "?dry_run=true", "applied": ""} {
		done := c.apply(query, "kind: Issuer\nid: keycloak\nissuer: https://sso.test\n"+keys)
		if len(done.Notes) != 1 || done.Notes[0].Ref != "issuer/keycloak" || done.Notes[0].Text != want {
			t.Errorf("%s: %+v", name, done.Notes)
		}
		contains(t, done.Text, want)
	}
	c.must(http.StatusCreated, "POST", "/v1/issuers", "kind: Issuer\nid: other\nissuer: https://other.test\n"+keys, asYAML)
	for _, ref := range []string{"issuer/keycloak", "issuer/other"} {
		if n := strings.Count(log.String(), `"resource":"`+ref+`","note":"keys.jwks.keys[1] is not used`); n != 1 {
			t.Errorf("%s: logged %d times:\n%s", ref, n, log)
		}
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	before := c.store.State().Position()
	edit := strings.Replace(strings.Replace(seed, "name: Orders", "name: Orders 2", 1), "auto_accept: true", "auto_accept: false", 1) +
		"---\nkind: Application\nid: new\nname: New\n"
	dry := c.apply("?dry_run=true", edit)
	contains(t, dry.actions(), "update api/orders", "update plan/gold", "create application/new", "unchanged issuer/idp")
	contains(t, dry.Text, "~ api/orders: name Orders → Orders 2", "+ application/new", "= issuer/idp", "~ plan/gold: auto_accept true")
	for _, d := range dry.Changes {
		if d.Ref == "api/orders" && (len(d.Fields) == 0 || d.Fields[0].Path != "name" || d.Fields[0].From != "Orders" || d.Fields[0].To != "Orders 2") {
			t.Errorf("fields %+v", d.Fields)
		}
	}
	if now := c.store.State().Position(); now != before {
		t.Errorf("a dry run wrote: %+v, before %+v", now, before)
	}
	contains(t, c.refused(422, "POST", "/v1/apply?dry_run=true", "kind: Plan\nid: p\napi: nothing\nname: P\nsecurity: KEYLESS\n", asYAML).Detail, "nothing")
}

func TestApplyTellsAllFaultsWithTheirLines(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	p := c.refused(422, "POST", "/v1/apply", "kind: Application\nid: a\nnam: A\n---\nkind: Plan\nid: p\nstatus: OPEN\n", asYAML)
	if len(p.Errors) != 2 || p.Errors[0].Line != 3 || p.Errors[1].Line != 7 || p.Errors[1].Kind != "Plan" || p.Errors[1].ID != "p" || p.Errors[1].Field != "status" {
		t.Errorf("errors %+v", p.Errors)
	}
	text := "kind: Plan\nid: p\nname: P\napi: nothing\nsecurity: JWT\njwt:\n  issuers: [nobody]\n---\nkind: Application\nid: good\nname: Good\n"
	p = c.refused(422, "POST", "/v1/apply", text, asYAML)
	lines := ""
	for _, e := range p.Errors {
		lines += fmt.Sprintf("%d:%s:%s ", e.Line, e.Field, e.Code)
	}
	contains(t, lines, "4:api:dangling_reference", "7:jwt.issuers[0]:dangling_reference")
	c.must(404, "GET", "/v1/applications/good", "") // all or nothing
	// A step that the lifecycle does not have is a fault of the file, too.
	c.seed()
	c.apply("", strings.Replace(seed, "status: PUBLISHED", "status: CLOSED", 1))
	p = c.refused(422, "POST", "/v1/apply", seed, asYAML)
	if len(p.Errors) == 0 || p.Errors[0].Code != "lifecycle" || p.Errors[0].Line == 0 {
		t.Errorf("errors %+v", p.Errors)
	}
	c.refused(422, "POST", "/v1/apply", "# nothing\n", asYAML)
	c.refused(http.StatusUnsupportedMediaType, "POST", "/v1/apply", "x", "Content-Type: image/png")
	c.refused(http.StatusRequestEntityTooLarge, "POST", "/v1/apply", strings.Repeat("#\n", 4<<20+1), asYAML)
}

func TestApplySeveralFiles(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	send := func(want int, files ...string) answer {
		t.Helper()
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		for i := 0; i < len(files); i += 2 {
			part, err := form.CreateFormFile("file", files[i])
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(part, files[i+1])
		}
		_ = form.Close()
		return c.must(want, "POST", "/v1/apply", body.String(), "Content-Type: "+form.FormDataContentType())
	}
	a := send(422, "a.yaml", "kind: Application\nid: a\nname: A\n", "b.json", `{"kind":"Application","id":"b","nam":"B"}`, "c.yaml", "\nkind: Nothing\n")
	contains(t, a.body, `"file":"b.json","line":1`, `"file":"c.yaml","line":2`)
	c.must(404, "GET", "/v1/applications/a", "")
	ok := c.decodeApplied(send(200, "a.yaml", "kind: Application\nid: a\nname: A\n", "b.json", `{"kind":"Application","id":"b","name":"B"}`))
	if ok.actions() != "create application/a, create application/b" {
		t.Errorf("%+v", ok)
	}
	c.must(400, "POST", "/v1/apply", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nkind: Api\r\n--x--\r\n", "Content-Type: multipart/form-data; boundary=x")
	c.must(400, "POST", "/v1/apply", "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\nkind", "Content-Type: multipart/form-data; boundary=x")
}

func TestApplyOfTooMuchForOneTransaction(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	var text strings.Builder
	// Each Api is in the transaction twice: as a draft and as deployed.
	for i := range 600 {
		fmt.Fprintf(&text, `{"kind":"Api","id":"a-%d","name":"A","description":%q,"context_path":"/a-%d","upstream":{"targets":[{"url":"http://127.0.0.1:1"}]}}`+"\n",
			i, strings.Repeat("x", 8000), i)
		fmt.Fprintf(&text, `{"kind":"Plan","id":"p-%d","api":"a-%d","name":"P","security":"KEYLESS","status":"PUBLISHED"}`+"\n", i, i)
	}
	contains(t, c.refused(http.StatusRequestEntityTooLarge, "POST", "/v1/apply", text.String(), asYAML).Detail, "import")
}
