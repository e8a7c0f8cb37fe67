// Package tools_test checks the import rules of ARCHITECTURE.md that need the
// whole import graph. What one file alone can show is checked by depguard, see
// .golangci.yml. The folder also holds the module files of the tools.
package tools_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/portcullis-gateway/portcullis/"

// layers lists the packages of the module, below first. A package imports from
// layers below its own and, where the layer allows it, from its own. Patterns are
// those of path.Match, with /... for everything beneath.
var layers = []struct {
	packages []string
	// Packages of the layer may import each other. The compiler ensures that
	// this makes no circle.
	neighbours bool
}{
	{packages: []string{"proto/portcullis/v1", "shared/fault", "shared/denial/cause", "shared/mask"}},
	{packages: []string{"shared/cow", "shared/denial", "shared/config", "shared/header", "shared/telemetry", "shared/freeport"}},
	{packages: []string{
		"shared/cli", "shared/expr", "shared/signature", "shared/keyset", "shared/discovery", "shared/jwks", "shared/token", "shared/introspect", "shared/dpop", "shared/catalog",
		"shared/catalog/...", "shared/compile", "shared/policy/...", "shared/rules", "shared/resource", "shared/schema", "shared/snapshot", "shared/stream", "shared/stream/...",
	}, neighbours: true},
	{packages: []string{"gateway/internal/request", "gateway/internal/socket"}},
	{packages: []string{"gateway/internal/exchange"}},
	{packages: []string{
		"gateway/internal/authn", "gateway/internal/forward",
	}},
	{packages: []string{"gateway/internal/...", "keymanager-sync/internal/...", "keymanager-sync/api"}, neighbours: true},
	{packages: []string{"gateway", "keymanager-sync"}},
	{packages: []string{"gateway/cmd/...", "keymanager-sync/cmd/...", "deployments/...", "loadtest/..."}, neighbours: true},
}

// walls say what must not be linked, directly or through others.
var walls = []struct {
	packages string
	never    []string
	why      string
}{
	{"gateway/...", []string{module + "keymanager-sync/..."}, "the data plane does not contain the control plane"},
	{"gateway/cmd/gateway", []string{"github.com/nats-io/nats-server/...", "go.etcd.io/bbolt/..."}, "a gateway is a client of NATS and keeps no database"},
	{"keymanager-sync/...", []string{module + "gateway/...", "github.com/valyala/fasthttp/..."}, "the control plane does not contain the data plane"},
	{"keymanager-sync/api", []string{module + "keymanager-sync/internal/...", "github.com/nats-io/...", "go.etcd.io/bbolt/..."}, "who imports the client links no server"},
	{"keymanager-sync/cmd/keymanager-sync", []string{"github.com/nats-io/nats-server/..."}, "the control plane is a client of NATS"},
	{"shared/...", []string{module + "gateway/...", module + "keymanager-sync/...", module + "deployments/..."}, "shared knows neither service"},
	{"gateway/...", []string{module + "deployments/...", module + "shared/freeport"}, "what starts processes for tests is no part of the product"},
	{"keymanager-sync/...", []string{module + "deployments/...", module + "shared/freeport"}, "what starts processes for tests is no part of the product"},
	{"deployments/cluster", []string{module + "gateway/...", module + "keymanager-sync/...", "testing"}, "it knows the programs from outside"},
	{"gateway/internal/request", transports, "decisions do not know the HTTP stack"},
	{"gateway/internal/exchange", transports, "the exchange joins stacks and knows none"},
	{"gateway/internal/forward", transports, "what forwarders have in common knows no stack"},
	{"gateway/internal/forward/std", transports, "the forwarder on net/http needs no other stack"},
	{"gateway/internal/forward/forwardtest", transports, "a suite for every forwarder needs none"},
	{"gateway/internal/front", transports, "what fronts have in common knows no stack"},
	{"gateway/internal/front/std", transports, "the front on net/http needs no other stack"},
	{"gateway/internal/front/fronttest", transports, "a suite for every front needs none"},
	{"shared/policy/...", transports, "decisions do not know the HTTP stack"},
	{"gateway/internal/authn", transports, "decisions do not know the HTTP stack"},
	{"gateway/internal/assertion", transports, "decisions do not know the HTTP stack"},
	{"gateway/internal/pipeline", transports, "decisions do not know the HTTP stack"},
	{"shared/...", telemetry, "gateway/internal/otlp is the only package that knows OpenTelemetry"},
	{"keymanager-sync/...", telemetry, "the control plane sends no traces"},
	{"gateway/internal/pipeline", telemetry, "decisions do not know who is told of them"},
	{"gateway/internal/front/...", telemetry, "fronts hand records on, to whomever"},
	{"gateway/internal/forward/...", telemetry, "forwarders note what they did, and no more"},
	{"shared/catalog/...", transports, "the domain is pure"},
	{"shared/rules", transports, "the domain is pure"},
	{"shared/catalog/internal/heap", []string{module + "...", "google.golang.org/protobuf/..."}, "it knows bytes and addresses only"},
	{"shared/catalog/...", []string{module + "shared/expr", module + "shared/keyset", module + "shared/rules"}, "what exists is kept apart from what may be changed"},
	{"shared/compile", transports, "the control plane and nodes compile alike, whatever the transport"},
	{"shared/token", transports, "the domain is pure"},
	{"shared/keyset", transports, "key sets are parsed here and fetched in shared/jwks"},
}

// telemetry is what sends to collectors.
var telemetry = []string{"go.opentelemetry.io/..."}

// The standard library's net/http is linked wherever a status has a name; that the
// decisions do not import it themselves is checked by depguard.
var transports = []string{"github.com/valyala/fasthttp/...", "github.com/nats-io/..."}

func TestLayers(t *testing.T) {
	for _, p := range list(t) {
		from := layer(p.name())
		if from < 0 {
			t.Errorf("%s is in no layer: give it one here and in ARCHITECTURE.md", p.name())
			continue
		}
		for _, imported := range p.Imports {
			name, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			to := layer(name)
			if to > from || to == from && !layers[from].neighbours {
				t.Errorf("%s imports %s, which is not below it", p.name(), name)
			}
		}
	}
}

func TestWalls(t *testing.T) {
	packages := list(t)
	for _, w := range walls {
		found := false
		for _, p := range packages {
			if !match(w.packages, p.name()) {
				continue
			}
			found = true
			for _, dep := range p.Deps {
				if slices.ContainsFunc(w.never, func(pattern string) bool { return match(pattern, dep) }) {
					t.Errorf("%s links %s: %s", p.name(), dep, w.why)
				}
			}
		}
		if !found {
			t.Errorf("no package %s: the wall around it guards nothing", w.packages)
		}
	}
}

// TestMatch: a rule that matches nothing would always pass.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"shared/stream", "shared/stream", true},
		{"shared/stream", "shared/stream/inprocess", false},
		{"gateway/...", "gateway", true},
		{"gateway/...", "gateway/internal/feed", true},
		{"gateway/...", "gatewayed", false},
		{"gateway", "gateway/internal/feed", false},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("match(%q, %q) = %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
	if from, to := layer("shared/stream/inprocess"), layer("gateway/internal/authn"); from < 0 || from >= to {
		t.Errorf("shared/stream/inprocess is in layer %d, gateway/internal/authn in %d", from, to)
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string // of its own files, tests left out
	Deps       []string // everything it links
	GoFiles    []string
}

func (p goPackage) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// list returns the packages of the module that have more than tests.
func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps,GoFiles", module+"...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if len(p.GoFiles) > 0 {
			packages = append(packages, p)
		}
	}
}

// layer returns the number of the first layer that names the package, or -1.
func layer(name string) int {
	for i, l := range layers {
		if slices.ContainsFunc(l.packages, func(pattern string) bool { return match(pattern, name) }) {
			return i
		}
	}
	return -1
}

// match reports whether a pattern matches a package's name: as in path.Match, and
// with /... at its end also everything beneath.
func match(pattern, name string) bool {
	if prefix, deep := strings.CutSuffix(pattern, "/..."); deep {
		return name == prefix || strings.HasPrefix(name, prefix+"/")
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
