package pipeline_test

import (
	"slices"
	"strings"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

func TestEntries(t *testing.T) {
	w := newWorld(t, common, orders)
	for hosts, want := range map[string][]string{
		"[API.acme.test, '*.Acme.test']": {"api/orders api.acme.test /orders", "api/orders *.acme.test /orders"},
		"[]":                             {"api/orders  /orders"},
	} {
		w.put(`{kind: Api, id: orders, context_path: /orders, hosts: ` + hosts + `, upstream: {targets: [{url: "http://127.0.0.1:9"}]}}`)
		api := w.bound(all[*pb.Deployment](w, pb.Kind_KIND_DEPLOYMENT)[0])
		var got []string
		for _, e := range api.Entries() {
			got = append(got, e.Name+" "+e.Host+" "+e.Path)
			if e.Target != api {
				t.Error("another target")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestHosts(t *testing.T) {
	w := newWorld(t, common, orders, strings.Replace(strings.Replace(api, "id: orders", "id: hosted", 1), "context_path", "hosts: [Api.Test]\ncontext_path", 1))
	w.expect("the host's own Api, which has no plan", get("/orders"), deny(denial.MissingCredentials))
	r := get("/orders", bearer())
	r.Host = []byte("other.test")
	w.expect("every host's Api", r, allow("orders-jwt", "mobile"))
}
