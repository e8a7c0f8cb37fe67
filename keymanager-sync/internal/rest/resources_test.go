package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

func TestCreateReadReplaceRemove(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	made := c.must(http.StatusCreated, "POST", "/v1/applications", `{"id":"web","name":"Web"}`)
	if made.header.Get("Location") != "/v1/applications/web" || made.version() != 1 || made.sequence() == 0 {
		t.Errorf("headers %v", made.header)
	}
	contains(t, c.refused(http.StatusConflict, "POST", "/v1/applications", `{"id":"web"}`).Detail, "web", "exists")

	got := c.must(http.StatusOK, "GET", "/v1/applications/web", "")
	if got.field("kind") != "Application" || got.field("name") != "Web" || got.header.Get("ETag") != made.header.Get("ETag") {
		t.Errorf("got %s %v", got.body, got.header)
	}
	c.must(http.StatusNotModified, "GET", "/v1/applications/web", "", `If-None-Match: "7", W/`+made.header.Get("ETag"))
	c.must(http.StatusOK, "GET", "/v1/applications/web", "", `If-None-Match: "2"`)
	if a := c.must(http.StatusOK, "HEAD", "/v1/applications/web", ""); a.body != "" {
		t.Errorf("HEAD has the body %q", a.body)
	}

	put := c.must(http.StatusOK, "PUT", "/v1/applications/web", `{"name":"Web shop"}`, `If-Match: "1"`)
	if put.version() != 2 || put.sequence() <= made.sequence() {
		t.Errorf("headers %v", put.header)
	}
	if a := c.must(http.StatusCreated, "PUT", "/v1/applications/new", `{"name":"New"}`); a.header.Get("Location") != "/v1/applications/new" {
		t.Errorf("headers %v", a.header)
	}
	gone := c.must(http.StatusNoContent, "DELETE", "/v1/applications/web", "")
	if gone.sequence() <= put.sequence() {
		t.Errorf("headers %v", gone.header)
	}
	contains(t, c.refused(http.StatusNotFound, "GET", "/v1/applications/web", "").Detail, "application/web")
	c.refused(http.StatusNotFound, "DELETE", "/v1/applications/web", "")
}

// A resource that is removed and created again starts at version 1 again, but is
// not what was read before.
func TestVersionsOfAnotherLife(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	first := c.must(http.StatusCreated, "POST", "/v1/applications", `{"id":"web","name":"Web"}`).header.Get("ETag")
	if !regexp.MustCompile(`^"1-[0-9a-z]+"$`).MatchString(first) {
		t.Fatalf("ETag %s", first)
	}
	c.must(http.StatusNoContent, "DELETE", "/v1/applications/web", "", "If-Match: "+first)
	time.Sleep(1100 * time.Millisecond) // a life is known by its first second
	second := c.must(http.StatusCreated, "PUT", "/v1/applications/web", `{"name":"Web"}`).header.Get("ETag")
	if first == second {
		t.Fatalf("both are %s", first)
	}
	contains(t, c.refused(http.StatusPreconditionFailed, "PUT", "/v1/applications/web", `{"name":"b"}`, "If-Match: "+first).Detail, "created again")
	c.refused(http.StatusPreconditionFailed, "DELETE", "/v1/applications/web", "", "If-Match: "+first)
	c.must(http.StatusOK, "GET", "/v1/applications/web", "", "If-None-Match: "+first)
	c.must(http.StatusNotModified, "GET", "/v1/applications/web", "", "If-None-Match: "+second)
	put := c.must(http.StatusOK, "PUT", "/v1/applications/web", `{"name":"b"}`, "If-Match: "+first+", "+second)
	if tag := c.must(http.StatusOK, "GET", "/v1/applications/web", "").header.Get("ETag"); put.version() != 2 || put.header.Get("ETag") != tag {
		t.Errorf("PUT says %s, GET %s", put.header.Get("ETag"), tag)
	}
	// A number is enough for people.
	c.must(http.StatusOK, "PUT", "/v1/applications/web", `{"name":"c"}`, `If-Match: "2"`)
}

func TestGeneratedID(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	a := c.must(http.StatusCreated, "POST", "/v1/applications", `{"name":"Web"}`)
	id, _ := a.field("id").(string)
	if !regexp.MustCompile(`^[0-9a-z]{26}$`).MatchString(id) || a.header.Get("Location") != "/v1/applications/"+id {
		t.Errorf("id %q, headers %v", id, a.header)
	}
}

func TestYAMLBody(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.must(http.StatusCreated, "POST", "/v1/applications", "kind: Application\nid: web\nname: Web\n", "Content-Type: application/yaml; charset=utf-8")
	c.must(http.StatusOK, "PUT", "/v1/applications/web", "kind: Application\nname: Web\n", "Content-Type: text/yaml")
	contains(t, c.refused(422, "PUT", "/v1/applications/web", "kind: Plan\nid: web\n", "Content-Type: application/yaml").Detail, "Application", "Plan")
	contains(t, c.refused(422, "PUT", "/v1/applications/web", "kind: Application\n---\nkind: Application\n", "Content-Type: application/yaml").Detail, "2 documents")
	c.refused(http.StatusUnsupportedMediaType, "PUT", "/v1/applications/web", "<a/>", "Content-Type: application/xml")
}

func TestPreconditions(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.must(http.StatusCreated, "PUT", "/v1/applications/web", `{"name":"a"}`, "If-None-Match: *")
	contains(t, c.refused(http.StatusPreconditionFailed, "PUT", "/v1/applications/web", `{"name":"b"}`, "If-None-Match: *").Detail, "exists already", "version 1")
	contains(t, c.refused(http.StatusPreconditionFailed, "PUT", "/v1/applications/web", `{"name":"b"}`, `If-Match: "9"`).Detail, "version 1")
	c.refused(http.StatusPreconditionFailed, "DELETE", "/v1/applications/web", "", `If-Match: "9"`)
	c.refused(http.StatusPreconditionFailed, "PUT", "/v1/applications/nobody", `{"name":"b"}`, `If-Match: *`)
	c.must(http.StatusOK, "PUT", "/v1/applications/web", `{"name":"b"}`, `If-Match: "9", "1"`)
	c.must(http.StatusOK, "PUT", "/v1/applications/web", `{"name":"c"}`, `If-Match: *`)
	c.seed()
	c.refused(http.StatusPreconditionFailed, "POST", "/v1/subscriptions/mobile-gold/pause", "", `If-Match: "9"`)
	c.must(http.StatusOK, "POST", "/v1/subscriptions/mobile-gold/pause", "", `If-Match: "1"`)
	for _, header := range []string{`If-Match: 1`, `If-Match: "1-"`, `If-Match: "1-0"`, `If-Match: "1-!"`, `If-Match: W/"1"`, `If-Match: "x"`, `If-Match: "1", *`, `If-None-Match: "1"`} {
		c.refused(http.StatusBadRequest, "PUT", "/v1/applications/web", `{"name":"d"}`, header)
	}
	c.refused(http.StatusBadRequest, "PUT", "/v1/applications/web", `{"name":"d"}`, `If-Match: "1"`, `If-None-Match: *`)
	c.refused(http.StatusBadRequest, "POST", "/v1/applications", `{"name":"d"}`, `If-Match: "1"`)
	c.refused(http.StatusBadRequest, "DELETE", "/v1/applications/web", "", `If-None-Match: *`)
	c.refused(http.StatusBadRequest, "POST", "/v1/apply", seed, asYAML, `If-Match: "1"`)
	c.refused(http.StatusBadRequest, "POST", "/v1/import", seed, asYAML, `If-Match: "1"`)
	if got := c.must(http.StatusOK, "GET", "/v1/applications/web", ""); got.field("name") != "c" {
		t.Errorf("a refused write left %s", got.body)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	first := c.must(http.StatusCreated, "POST", "/v1/applications", `{"name":"Web"}`, "Idempotency-Key: k1")
	again := c.must(http.StatusCreated, "POST", "/v1/applications", `{"name":"Web"}`, "Idempotency-Key: k1")
	if first.field("id") != again.field("id") || first.sequence() != again.sequence() {
		t.Errorf("first %s at %d, again %s at %d", first.body, first.sequence(), again.body, again.sequence())
	}
	if first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("first %v, again %v", first.header, again.header)
	}
	contains(t, c.refused(422, "PUT", "/v1/applications/other", `{"name":"Web"}`, "Idempotency-Key: k1").Detail, "k1")
	contains(t, c.refused(422, "POST", "/v1/applications", `{"name":"Another"}`, "Idempotency-Key: k1").Detail, "k1")
	c.refused(http.StatusBadRequest, "POST", "/v1/applications", `{}`, "Idempotency-Key: import:x:1:y")
	c.refused(http.StatusBadRequest, "POST", "/v1/applications", `{}`, "Idempotency-Key: "+strings.Repeat("k", 129))
	id, _ := first.field("id").(string)
	c.must(http.StatusNoContent, "DELETE", "/v1/applications/"+id, "")
	contains(t, c.refused(http.StatusNotFound, "POST", "/v1/applications", `{"name":"Web"}`, "Idempotency-Key: k1").Detail, "removed since")
}

func TestReferences(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	p := c.refused(http.StatusConflict, "DELETE", "/v1/applications/mobile", "")
	contains(t, p.Detail, "subscription/mobile-gold", "cascade")
	contains(t, c.refused(http.StatusConflict, "DELETE", "/v1/issuers/idp", "").Detail, "plan/gold", "application/mobile")
	c.must(http.StatusNoContent, "DELETE", "/v1/applications/mobile?cascade=true", "")
	c.must(http.StatusNotFound, "GET", "/v1/subscriptions/mobile-gold", "")
	p = c.refused(422, "POST", "/v1/subscriptions", `{"id":"s","application":"nobody","plan":"gold"}`)
	if len(p.Errors) != 1 || p.Errors[0].Field != "application" || p.Errors[0].Code != "dangling_reference" || p.Errors[0].Kind != "Subscription" {
		t.Errorf("errors %+v", p.Errors)
	}
}

func TestInvalidBodies(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	p := c.refused(422, "POST", "/v1/plans", `{"id":"gold","apy":"orders",
		"name":1}`)
	if len(p.Errors) != 2 || p.Errors[0].Line != 1 || p.Errors[1].Line != 2 || p.Errors[0].Column == 0 {
		t.Fatalf("errors %+v", p.Errors)
	}
	contains(t, p.Errors[0].Message+p.Errors[0].Hint, "unknown field", `"api"`)
	c.refused(422, "POST", "/v1/plans", `{`)
	c.refused(422, "POST", "/v1/plans", ``)
	c.refused(422, "POST", "/v1/plans", `{"kind":"Api"}`)
	contains(t, c.refused(422, "PUT", "/v1/applications/web", `{"id":"other"}`).Detail, "other", "web")
	if n := len(c.refused(422, "POST", "/v1/issuers", `{"id":"UPPER"}`).Errors); n == 0 {
		t.Error("no errors")
	}
	contains(t, c.refused(http.StatusRequestEntityTooLarge, "POST", "/v1/plans", strings.Repeat(" ", 8<<20+1)).Detail, "import")
}

func TestLifecycles(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	step := func(want int, path string) answer {
		t.Helper()
		return c.must(want, "POST", "/v1/"+path, "")
	}
	if a := step(200, "subscriptions/mobile-gold/pause"); a.field("status") != "PAUSED" || a.version() != 2 || a.sequence() == 0 {
		t.Errorf("pause: %s %v", a.body, a.header)
	}
	p := c.refused(http.StatusConflict, "POST", "/v1/subscriptions/mobile-gold/accept", "")
	contains(t, p.Detail, "accept", "PAUSED", "resume", "close")
	if len(p.Errors) != 1 || p.Errors[0].Code != "lifecycle" {
		t.Errorf("errors %+v", p.Errors)
	}
	step(200, "subscriptions/mobile-gold/resume")
	step(200, "apis/orders/publish")
	if a := step(200, "apis/orders/stop"); a.field("stopped") != true {
		t.Errorf("stop: %s", a.body)
	}
	step(409, "apis/orders/stop")
	step(200, "apis/orders/start")
	step(200, "apis/orders/unpublish")
	step(200, "apis/orders/deprecate")
	step(200, "plans/gold/deprecate")
	step(200, "plans/gold/close")
	contains(t, step(409, "plans/gold/publish").body, "CLOSED")
	if a := c.must(200, "GET", "/v1/subscriptions/mobile-gold", ""); a.field("status") != "CLOSED" {
		t.Errorf("a closed plan leaves %s", a.body)
	}
	contains(t, step(404, "plans/nobody/publish").body, "nobody")
	contains(t, step(404, "plans/gold/publis").body, `did you mean \"publish\"?`)
	contains(t, step(404, "plans/gold/halt").body, "publish, deprecate, close")
	contains(t, step(404, "applications/mobile/publish").body, "no verbs")
}

func TestSubscriptionIsDecided(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	c.must(201, "POST", "/v1/plans", `{"id":"silver","api":"orders","name":"Silver","security":"JWT","jwt":{"issuers":["idp"]}}`)
	c.must(200, "POST", "/v1/plans/silver/publish", "")
	for _, id := range []string{"s1", "s2"} {
		c.must(201, "POST", "/v1/applications", fmt.Sprintf(`{"id":"app-%s","name":"x"}`, id))
		c.must(201, "POST", "/v1/subscriptions", fmt.Sprintf(`{"id":%q,"application":"app-%s","plan":"silver"}`, id, id))
	}
	if a := c.must(200, "POST", "/v1/subscriptions/s1/accept", ""); a.field("status") != "ACCEPTED" {
		t.Errorf("accept: %s", a.body)
	}
	if a := c.must(200, "POST", "/v1/subscriptions/s2/reject", ""); a.field("status") != "REJECTED" {
		t.Errorf("reject: %s", a.body)
	}
	c.must(409, "POST", "/v1/subscriptions/s2/close", "")
	c.must(200, "POST", "/v1/subscriptions/s1/close", "")
}

func TestDeployments(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.must(201, "PUT", "/v1/apis/orders", `{"name":"Orders","context_path":"/orders","upstream":{"targets":[{"url":"http://127.0.0.1:1"}]}}`)
	contains(t, c.refused(409, "POST", "/v1/apis/orders/deploy", "").Detail, "plan")
	contains(t, c.refused(404, "GET", "/v1/apis/orders/deployment", "").Detail, "never been deployed")
	c.must(201, "PUT", "/v1/plans/free", `{"api":"orders","name":"Free","security":"KEYLESS"}`)
	c.must(200, "POST", "/v1/plans/free/publish", "")
	if a := c.must(200, "POST", "/v1/apis/orders/deploy", ""); a.field("revision") != float64(1) {
		t.Errorf("deploy: %s", a.body)
	}
	edit := c.must(200, "PUT", "/v1/apis/orders", `{"name":"Orders 2","context_path":"/orders","upstream":{"targets":[{"url":"http://127.0.0.1:2"}]}}`)
	if edit.field("out_of_sync") != true {
		t.Errorf("an edit: %s", edit.body)
	}
	contains(t, c.must(200, "GET", "/v1/apis/orders/deployment", "").body, `"http://127.0.0.1:1"`)
	contains(t, c.must(200, "GET", "/v1/deployments", "").body, `"http://127.0.0.1:1"`)
	c.must(200, "POST", "/v1/apis/orders/deploy", "")
	if a := c.must(200, "POST", "/v1/apis/orders/rollback?revision=1", ""); a.field("revision") != float64(3) || a.field("name") != "Orders" {
		t.Errorf("rollback: %s", a.body)
	}
	c.refused(404, "POST", "/v1/apis/orders/rollback?revision=77", "")
	c.refused(400, "POST", "/v1/apis/orders/rollback?revision=x", "")
	c.refused(400, "POST", "/v1/apis/orders/deploy?revision=1", "")
	if a := c.must(200, "POST", "/v1/apis/orders/rollback", ""); a.field("name") != "Orders 2" {
		t.Errorf("rollback to the one before: %s", a.body)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	const secret = "0123456789abcdef0123456789abcdef0123"
	body := `{"id":"hmac","issuer":"https://hmac.test","algorithms":["HS256"],"keys":{"hmac_secrets":[{"value":"` + secret + `"}]}}`
	made := c.must(201, "POST", "/v1/issuers", body)
	listed := c.must(200, "GET", "/v1/issuers", "")
	got := c.must(200, "GET", "/v1/issuers/hmac", "")
	for _, a := range []answer{made, listed, got} {
		if strings.Contains(a.body, secret) {
			t.Errorf("the secret is shown: %s", a.body)
		}
	}
	// What was read can be sent back, and keeps the secret.
	if a := c.must(200, "PUT", "/v1/issuers/hmac", got.body); a.version() != 1 {
		t.Errorf("sending back what was read changes it: %v", a.header)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	contains(t, c.refused(404, "GET", "/v1/plan", "").Detail, `"plans"`)
	contains(t, c.refused(404, "GET", "/v2/plans", "").Detail, "/openapi.yaml")
	c.refused(404, "GET", "/v1/plans/a/b/c", "")
	for path, allow := range map[string]string{
		"/v1/plans": "GET, HEAD, POST", "/v1/plans/gold": "DELETE, GET, HEAD, PUT", "/v1/plans/gold/publish": "POST",
		"/v1/key-sets": "GET, HEAD", "/v1/key-sets/idp": "GET, HEAD", "/v1/deployments/orders": "GET, HEAD",
		"/v1/apply": "POST", "/v1/fleet": "GET, HEAD",
	} {
		a := c.must(http.StatusMethodNotAllowed, "PATCH", path, "")
		if got := a.header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow %q, want %q", path, got, allow)
		}
	}
	c.must(405, "POST", "/v1/key-sets", "{}")
	c.must(405, "DELETE", "/v1/deployments/orders", "")
}

func TestParameters(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	contains(t, c.refused(400, "GET", "/v1/plans?aply=x", "").Detail, `"aply"`, `"api"`)
	for _, path := range []string{
		"/v1/plans?limit=0", "/v1/plans?limit=1001", "/v1/plans?limit=ten", "/v1/plans?limit=1&limit=2", "/v1/plans?status=OPEN",
		"/v1/plans?api=", "/v1/plans?%zz", "/v1/plans?min_sequence=-1", "/v1/plans?timeout=1h", "/v1/plans?timeout=soon",
		"/v1/plans/gold?limit=1", "/v1/fleet?x=1", "/v1/snapshot?x=1", "/v1/applications?status=OPEN",
	} {
		c.refused(400, "GET", path, "")
	}
	for _, path := range []string{
		"/v1/plans?wait=all", "/v1/plans?cascade=true", "/v1/apply?dry_run=maybe", "/v1/apply?deploy=2", "/v1/import?id=a/b",
		"/v1/import?deploy=2", "/v1/plans?wait=fleet&timeout=61s",
	} {
		c.refused(400, "POST", path, "{}")
	}
	c.refused(400, "DELETE", "/v1/plans/gold?cascade=perhaps", "")
}

func TestPagesAndFilters(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	for i := range 7 {
		c.must(201, "POST", "/v1/applications", fmt.Sprintf(`{"id":"app-%d","name":"Number %d"}`, i, i))
	}
	var ids []string
	for path := "/v1/applications?limit=3"; path != ""; {
		a := c.must(200, "GET", path, "")
		got, next := page(t, a)
		if len(got) > 3 || a.sequence() == 0 {
			t.Fatalf("page %v, headers %v", got, a.header)
		}
		ids = append(ids, got...)
		path = ""
		if next != "" {
			path = "/v1/applications?limit=3&after=" + next
		}
	}
	if got := strings.Join(ids, " "); got != "app-0 app-1 app-2 app-3 app-4 app-5 app-6 mobile" {
		t.Errorf("ids %s", got)
	}
	c.must(201, "POST", "/v1/plans", `{"id":"other","api":"orders","name":"O","security":"KEYLESS"}`)
	c.must(201, "POST", "/v1/revocations", `{"id":"r1","issuer":"idp","client_id":"mobile-app","expires_at":"2099-01-01T00:00:00Z"}`)
	c.refused(422, "POST", "/v1/revocations", `{"id":"r2","issuer":"idp","client_id":"other","expires_at":"1970-01-01T00:00:00Z"}`)
	c.refused(422, "PUT", "/v1/revocations/r2", `{"issuer":"idp","client_id":"other","expires_at":"0001-01-01T00:00:00Z"}`)
	for path, want := range map[string]string{
		"applications?q=NUMBER%203":                   "app-3",
		"applications?q=app-5":                        "app-5",
		"applications?client_id=mobile-app":           "mobile",
		"applications?issuer=idp&client_id=mobile":    "",
		"applications?issuer=idp":                     "mobile",
		"subscriptions?application=mobile":            "mobile-gold",
		"subscriptions?application=app-1":             "",
		"subscriptions?plan=gold&status=ACCEPTED":     "mobile-gold",
		"subscriptions?status=PAUSED":                 "",
		"subscriptions?api=orders":                    "mobile-gold",
		"subscriptions?api=ordersx":                   "",
		"plans?api=orders":                            "gold other",
		"plans?issuer=idp":                            "gold",
		"plans?status=STAGING":                        "other",
		"apis?status=CREATED":                         "orders",
		"apis?status=PUBLISHED":                       "",
		"issuers?issuer=https%3A%2F%2Fidp.test":       "idp",
		"issuers?issuer=https%3A%2F%2Fidp.tes":        "",
		"revocations?issuer=idp&client_id=mobile-app": "r1",
		"deployments?q=ord":                           "orders",
		"key-sets":                                    "",
	} {
		got, _ := page(t, c.must(200, "GET", "/v1/"+path, ""))
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %q", path, got, want)
		}
	}
}

// page is the ids of a page's items, and its next.
func page(t *testing.T, a answer) (ids []string, next string) {
	t.Helper()
	var p struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
		Next string `json:"next"`
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	for _, item := range p.Items {
		ids = append(ids, item.ID)
	}
	return ids, p.Next
}

func TestMinSequence(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	made := c.must(201, "POST", "/v1/applications", `{"id":"web","name":"Web"}`)
	now := made.sequence()
	c.must(200, "GET", fmt.Sprintf("/v1/applications/web?min_sequence=%d", now), "")
	contains(t, c.refused(http.StatusGatewayTimeout, "GET", fmt.Sprintf("/v1/applications?min_sequence=%d&timeout=50ms", now+1), "").Detail,
		fmt.Sprint(now+1))
	read := make(chan answer, 1)
	go func() {
		read <- c.call("GET", fmt.Sprintf("/v1/applications/late?min_sequence=%d&timeout=10s", now+1), "")
	}()
	c.must(201, "POST", "/v1/applications", `{"id":"late","name":"Late"}`)
	if a := <-read; a.status != 200 {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

// What was read can be edited and sent back, and each mask keeps the secret it was shown for.
func TestMaskedSecretsMove(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	first, second := strings.Repeat("a", 32), strings.Repeat("b", 32)
	c.must(http.StatusCreated, "POST", "/v1/issuers", `{"id":"two","issuer":"https://two.test","keys":{"hmac_secrets":[{"value":"`+first+`"},{"value":"`+second+`"}]}}`)
	secrets := func() (found []string) {
		issuer, ok := catalog.Lookup[*pb.Issuer](c.store.State(), pb.Kind_KIND_ISSUER, "two")
		if !ok {
			t.Fatal("the issuer is gone")
		}
		for _, s := range issuer.GetKeys().GetHmacSecrets() {
			found = append(found, s.GetValue())
		}
		return found
	}
	shown := c.must(http.StatusOK, "GET", "/v1/issuers/two", "").body
	at, end := strings.Index(shown, `{"value":`), strings.Index(shown, `},{"value":`)
	if at < 0 || end < at {
		t.Fatal(shown)
	}
	c.must(http.StatusOK, "PUT", "/v1/issuers/two", shown[:at]+shown[end+len("},"):]) // without the first
	if got := secrets(); len(got) != 1 || got[0] != second {
		t.Errorf("secrets %v", got)
	}
	contains(t, c.refused(http.StatusUnprocessableEntity, "PUT", "/v1/issuers/two", shown).Detail, "is a mask of a secret that is not here")
}
