package rest

import (
	_ "embed" // openapi.yaml
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/rules"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

//go:embed openapi.yaml
var openapiDocument []byte

// methods are what one address answers, by method.
type methods map[string]action

// addresses is the whole API: every pattern of http.ServeMux with its methods.
func (s *Server) addresses() map[string]methods {
	all := map[string]methods{
		"/v1/apis/{id}/deployment": {http.MethodGet: s.get(pb.Kind_KIND_DEPLOYMENT)},
		"/v1/apply":                {http.MethodPost: s.apply},
		"/v1/import":               {http.MethodPost: s.importAll},
		"/v1/snapshot":             {http.MethodGet: s.snapshot},
		"/v1/fleet":                {http.MethodGet: s.getFleet},
		"/v1/fleet/{node}":         {http.MethodDelete: s.removeMember},
		"/openapi.yaml":            {http.MethodGet: getOpenAPI},
		"/healthz":                 {http.MethodGet: getHealth},
		"/readyz":                  {http.MethodGet: s.getReady},
	}
	for _, kind := range catalog.Kinds() {
		path := "/v1/" + catalog.Collection(kind)
		list, one := methods{http.MethodGet: s.list(kind)}, methods{http.MethodGet: s.get(kind)}
		if slices.Contains(catalog.UserKinds(), kind) {
			list[http.MethodPost] = s.create(kind)
			one[http.MethodPut] = s.replace(kind)
			one[http.MethodDelete] = s.remove(kind)
		}
		all[path], all[path+"/{id}"] = list, one
		for _, verb := range rules.Verbs(kind) {
			all[path+"/{id}/"+verb] = methods{http.MethodPost: s.step(kind, verb)}
		}
	}
	return all
}

func (s *Server) routes(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	metrics := telemetry.MetricsHandler(registry)
	for pattern, m := range s.addresses() {
		mux.Handle(pattern, s.answer(m.serve))
	}
	mux.Handle("/metrics", s.answer(methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
		metrics.ServeHTTP(w, r)
		return nil
	}}.serve))
	mux.Handle("/", s.answer(nowhere))
	return mux
}

// serve chooses by method; HEAD is a GET whose body net/http leaves out.
func (m methods) serve(w http.ResponseWriter, r *http.Request) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if a, ok := m[method]; ok {
		return a(w, r)
	}
	allowed := make([]string, 0, len(m)+1)
	for name := range m {
		allowed = append(allowed, name)
	}
	if _, ok := m[http.MethodGet]; ok {
		allowed = append(allowed, http.MethodHead)
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	return newProblem(http.StatusMethodNotAllowed, "method-not-allowed",
		fmt.Sprintf("%s does not know %s, only %s", r.URL.Path, r.Method, list)).with("Allow", list)
}

// nowhere answers what no pattern matches, and guesses what was meant.
func nowhere(_ http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] != "v1" || len(parts) < 2 {
		return notFound("there is nothing at " + r.URL.Path + " (hint: /openapi.yaml describes what there is)")
	}
	kind := catalog.KindByCollection(parts[1])
	switch {
	case kind == pb.Kind_KIND_UNSPECIFIED:
		return notFound(fmt.Sprintf("there is no collection %q (hint: %s)", parts[1], fault.Suggest(parts[1], collectionNames())))
	case len(parts) == 4 && len(rules.Verbs(kind)) > 0:
		return notFound(fmt.Sprintf("%s have no verb %q (hint: %s)", parts[1], parts[3], fault.Suggest(parts[3], rules.Verbs(kind))))
	case len(parts) == 4:
		return notFound(parts[1] + " have no verbs")
	}
	return notFound("there is nothing at " + r.URL.Path)
}

func collectionNames() []string {
	names := []string{"apply", "import", "snapshot", "fleet"}
	for _, kind := range catalog.Kinds() {
		names = append(names, catalog.Collection(kind))
	}
	return names
}
