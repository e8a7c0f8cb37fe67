package fronttest

import (
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

func (s suite) pages(t *testing.T) {
	n := s.node(t, func(c *front.Config) {
		c.Pages = map[string]*pipeline.Page{"/.well-known/x.json": {ContentType: "application/jwk-set+json", Body: []byte(`{"keys":[]}`)}}
	})
	for name, test := range map[string]struct{ request, status, want, body string }{
		"get":        {"GET /.well-known/x.json HTTP/1.1\r\nHost: a\r\n" + end, "200", "application/jwk-set+json", `{"keys":[]}`},
		"any host":   {"GET /.well-known//x%2ejson?q HTTP/1.1\r\nHost: b.c:81\r\n" + end, "200", "Access-Control-Allow-Origin: *", `{"keys":[]}`},
		"head":       {"HEAD /.well-known/x.json HTTP/1.1\r\nHost: a\r\n" + end, "200", "Content-Length: 11\r\n", ""},
		"post":       {"POST /.well-known/x.json HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n" + end + "hi", "405", "Allow: GET, HEAD\r\n", "method_not_allowed"},
		"expect":     {"GET /.well-known/x.json HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" + end + "hi", "200", "HTTP/1.1 200", `{"keys":[]}`},
		"below":      {"GET /.well-known/x.json/y HTTP/1.1\r\nHost: a\r\n" + end, "401", "", "missing_credentials"},
		"other case": {"GET /.well-known/X.json HTTP/1.1\r\nHost: a\r\n" + end, "401", "", "missing_credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := n.send(t, test.request)
			answer = strings.TrimPrefix(answer, "HTTP/1.1 100 Continue\r\n\r\n") // the body may be asked for
			_, body, _ := strings.Cut(answer, "\r\n\r\n")
			if status(answer) != test.status || !strings.Contains(answer, test.want) || !strings.Contains(body, test.body) || !strings.Contains(answer, "X-Request-Id: ") {
				t.Errorf("want %s %q %q, got\n%s", test.status, test.want, test.body, answer)
			}
			if name == "head" && body != "" {
				t.Errorf("a body: %q", body)
			}
		})
	}
	if n.upstream.reached.Load() != 0 {
		t.Error("the upstream was asked")
	}
}

// The 401s of an Api with metadata tell where it is (RFC 9728 section 5.1).
func (s suite) challengeNamesTheMetadata(t *testing.T) {
	n := s.node(t, nil)
	const url = "https://api.test/.well-known/oauth-protected-resource/orders"
	ask := func(headers, query string) string {
		answer := n.send(t, "GET /?metadata="+query+" HTTP/1.1\r\nHost: a\r\n"+headers+end)
		_, challenge, _ := strings.Cut(answer, "WWW-Authenticate: ")
		challenge, _, _ = strings.Cut(challenge, "\r\n")
		return status(answer) + " " + challenge
	}
	for name, test := range map[string]struct{ headers, query, want string }{
		"missing":     {"", url, `401 Bearer realm="portcullis", resource_metadata="` + url + `"`},
		"invalid":     {"X-Token: x\r\n", url, `401 Bearer realm="portcullis", resource_metadata="` + url + `", error="invalid_token"`},
		"without":     {"", "", `401 Bearer realm="portcullis"`},
		"no 401":      {"X-Token: a\r\nX-Token: b\r\n", url, `400 Bearer realm="portcullis", error="invalid_request"`},
		"in a format": {"", url + "&format=WSO2", `401 Bearer realm="portcullis", resource_metadata="` + url + `"`},
	} {
		if got := ask(test.headers, test.query); !strings.HasPrefix(got, test.want) || test.query == "" && strings.Contains(got, "resource_metadata") {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func (s suite) requestsAreCountedByApi(t *testing.T) {
	n := s.node(t, func(c *front.Config) {
		decide := c.Decide
		c.Decide = func(r *request.Request, d *pipeline.Decision) error {
			if string(r.Path) == "/none" {
				return denial.APINotFound.Because(cause.NoRoute)
			}
			err := decide(r, d)
			d.Api = &pipeline.Api{ID: strings.TrimPrefix(string(r.Path), "/"), Upstream: d.Api.Upstream}
			return err
		}
	})
	for _, path := range []string{"/a", "/a", "/b", "/none", "/a\\"} {
		n.send(t, "GET "+path+" HTTP/1.1\r\nHost: a\r\n"+token+end)
	}
	n.send(t, "GET /a HTTP/1.1\r\nHost: a\r\n"+end)
	n.send(t, "GET /../a HTTP/1.1\r\nHost: a\r\n"+end)
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "portcullis_requests_total" && m.GetCounter().GetValue() > 0 {
				got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	for series, want := range map[string]float64{"a 2xx": 2, "a 4xx": 1, "b 2xx": 1, " 4xx": 3} {
		if got[series] != want {
			t.Errorf("%q: %v, want %v; all: %v", series, got[series], want, got)
		}
	}
	if requests, _ := n.server.Totals(); requests != 7 {
		t.Errorf("%d requests in all, want 7", requests)
	}
}
