// Package providers_test tries docs/providers.md: each of its blocks is given to a
// node as it stands, and asked with tokens as the provider makes them.
package providers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway"
)

// section is one heading of the page with its block.
type section struct{ name, yaml string }

func sections(t *testing.T) []section {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "providers.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []section
	for part := range strings.SplitSeq(string(text), "\n## ") {
		name, rest, _ := strings.Cut(part, "\n")
		_, block, found := strings.Cut(rest, "\n```yaml\n")
		if !found {
			continue
		}
		block, more, _ := strings.Cut(block, "\n```\n")
		if strings.Contains(more, "```") {
			t.Errorf("%s has more than one block", name)
		}
		all = append(all, section{name, block})
	}
	return all
}

// resources are the page's blocks, each beside an Api of its own.
func resources(t *testing.T, all []section, providers map[string]provider, upstream string) string {
	t.Helper()
	var b strings.Builder
	for _, s := range all {
		p, ok := providers[s.name]
		if !ok {
			t.Fatalf("nothing here is like %s", s.name)
		}
		key := strings.ReplaceAll(strings.TrimSpace(publicPEM(passport())), "\n", "\n      ")
		fmt.Fprintf(&b, "%s\n---\n", strings.Replace(s.yaml, "PASSPORT_PUBLIC_KEY", key, 1))
		fmt.Fprintf(&b, "kind: Api\nid: %s\ncontext_path: /%s\nupstream: {targets: [{url: %q}]}\n---\n", p.id, p.id, upstream)
		if !strings.Contains(s.yaml, "kind: Plan") {
			fmt.Fprintf(&b, "{kind: Plan, id: %s-jwt, api: %s, security: JWT, status: PUBLISHED, jwt: {issuers: [%s]}}\n---\n", p.id, p.id, p.id)
		}
		if p.application != "" {
			fmt.Fprintf(&b, "{kind: Subscription, id: %s, application: %s, plan: %s-jwt, status: ACCEPTED}\n---\n", p.id, p.application, p.id)
		}
	}
	return b.String()
}

// node is a gateway in file mode.
type node struct {
	t            *testing.T
	front, admin string
}

func start(t *testing.T, yaml string) *node {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resources.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := gateway.DefaultConfig()
	cfg.Listen, cfg.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Resources, cfg.DataDir = []string{file}, filepath.Dir(file)
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.LookupEnv = func(name string) (string, bool) { return djangoKey, name == "DJANGO_SIGNING_KEY" }
	cfg.ReadFile = func(path string) ([]byte, error) {
		if path != "/var/run/secrets/kubernetes.io/serviceaccount/token" {
			return nil, errors.New("no such file")
		}
		return []byte("of the service account"), nil
	}
	n := &node{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	done, listening := make(chan error, 1), make(chan struct{})
	cfg.Listening = func(front, admin string) {
		n.front, n.admin = "http://"+front, "http://"+admin
		close(listening)
	}
	go func() { done <- gateway.Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the node ends with %v", err)
		}
	})
	select {
	case <-listening:
	case err := <-done:
		done <- nil
		t.Fatalf("the node does not start: %v", err)
	}
	return n
}

// get asks with a token in a field, and returns the status and the body.
func (n *node) get(path, field, value string) (int, string) {
	n.t.Helper()
	request, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.front+path, http.NoBody)
	if err != nil {
		n.t.Fatal(err)
	}
	request.Header.Set(field, value)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// explanation is what the node says of a decision.
type explanation struct {
	Allowed                    bool
	Reason, Cause, Application string
}

func (n *node) explain(path, field, value string) (e explanation) {
	n.t.Helper()
	response, err := http.Post(n.admin+"/explain", "application/json", bytes.NewReader([]byte(text(object{"url": n.front + path, "headers": object{field: value}}))))
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&e); err != nil {
		n.t.Fatal(err)
	}
	return e
}

func (n *node) until(what string, holds func() bool) {
	n.t.Helper()
	limit := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-limit:
			n.t.Fatalf("not in time: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestProviders(t *testing.T) {
	all, providers := sections(t), table()
	for name := range providers {
		if !slices.ContainsFunc(all, func(s section) bool { return s.name == name }) {
			t.Errorf("the page has no block for %s", name)
		}
	}
	for _, p := range providers {
		for url, body := range p.serves {
			internet.serve(url, page(body))
		}
	}
	internet.serve("https://kubernetes.default.svc/openid/v1/jwks", kubernetesKeys)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	t.Cleanup(upstream.Close)
	n := start(t, resources(t, all, providers, upstream.URL))
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) { try(t, n, providers[s.name]) })
	}
}

// try asks with the tokens of one provider.
func try(t *testing.T, n *node, p provider) {
	t.Helper()
	path, field, scheme := "/"+p.id, p.field, ""
	if field == "" {
		field, scheme = "Authorization", "Bearer "
	}
	n = &node{t, n.front, n.admin}
	good := scheme + p.token.sign(t)
	n.until("its keys", func() bool {
		status, _ := n.get(path, field, good)
		return status != http.StatusServiceUnavailable && status != http.StatusNotFound
	})
	passes := map[string]made{"as documented": p.token}
	maps.Copy(passes, p.also)
	for name, token := range passes {
		value := scheme + token.sign(t)
		if status, body := n.get(path, field, value); status != http.StatusOK {
			t.Errorf("%s: %d %s, because of %+v", name, status, body, n.explain(path, field, value))
		}
		if got := n.explain(path, field, value); got.Application != p.application {
			t.Errorf("%s: application %q, want %q", name, got.Application, p.application)
		}
	}
	refuse := func(name, value, cause string) {
		status, _ := n.get(path, field, value)
		if got := n.explain(path, field, value); status != 401 && status != 403 || got.Cause != cause {
			t.Errorf("%s: %d, %+v, want cause %s", name, status, got, cause)
		}
	}
	for name, r := range p.refused {
		refuse(name, scheme+r.token.sign(t), r.cause)
	}
	refuse("expired", scheme+p.token.with(object{"iat": 1000, "nbf": nil, "exp": 2000}).sign(t), "expired")
	if p.token.alg == "" {
		refuse("of a stranger's key", scheme+p.token.by(stranger()).sign(t), "signature")
	}
}
