package rules_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// TestMessages: the messages of common faults name the cure.
func TestMessages(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"no id": {
			"kind: Application\nname: Mobile\n",
			`application: id: is required (hint: 1 to 128 characters of a-z, 0-9, '.', '_' and '-')`,
		},
		"capitals": {
			"kind: Application\nid: Mobile\n",
			`application/Mobile: id: "Mobile" is not an id: 1 to 128 characters of a-z, 0-9, '.', '_' and '-' (hint: write "mobile")`,
		},
		"address for a URL": {
			"kind: Api\nid: a\ncontext_path: /a\nupstream: {targets: [{url: \"10.0.0.1:8080\"}]}\n",
			`api/a: upstream.targets[0].url: "10.0.0.1:8080" is not an absolute http or https URL (hint: write http://… or https://…)`,
		},
		"broken URL": {
			"kind: Api\nid: a\ncontext_path: /a\nupstream: {targets: [{url: \"http://[::1\"}]}\n",
			`api/a: upstream.targets[0].url: "http://[::1" is not a URL`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := rules.NewDraft(catalog.Empty(), now())
			for _, r := range resources(t, c.yaml) {
				d.Apply(r)
			}
			_, err := d.Finish()
			problems, ok := errors.AsType[fault.List](err)
			if !ok {
				t.Fatalf("got %v, want Problems", err)
			}
			if got := problems[0].Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestToldOnce: one fault is one problem, also where others follow from it.
func TestToldOnce(t *testing.T) {
	const second = "---\nkind: Api\nid: too\ncontext_path: /orders\nupstream: {targets: [{url: \"http://127.0.0.1:3\"}]}\n"
	for name, c := range map[string]struct{ yaml, want string }{
		"what refers to a faulty resource": {
			strings.Replace(world, "security: JWT", "security: JWT\nselection_rule: request.nothing", 1), "plan/gold: selection_rule:",
		},
		"what refers to a resource with a faulty id": {
			strings.Replace(strings.Replace(world, "id: mobile\n", "id: Mobile\n", 1), "application: mobile", "application: Mobile", 1), "application/Mobile: id:",
		},
		"an Api that takes a place as draft and as deployed": {world + second, "api/too: context_path:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rules.FromResources(resources(t, c.yaml), nil, now())
			problems, ok := errors.AsType[fault.List](err)
			if !ok || len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), c.want) {
				t.Errorf("got %v, want %s… alone", err, c.want)
			}
		})
	}
}
