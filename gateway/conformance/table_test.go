package conformance_test

import (
	"cmp"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// row is one behaviour of another product, and what a node does.
type row struct {
	id     string
	what   string
	theirs string
	// ours is how Portcullis differs on purpose, and why; empty: it does the same.
	ours, why string
	// setup is what the node needs for the row, beside what all have.
	setup  string
	probes []probe
	// check shows what single requests cannot; nil: they can.
	check func(t *testing.T, n *node)
}

// probe is a request and what must come of it.
type probe struct {
	say string
	call
	status int
	reason string // of a denial in our own format
	plan   string // that decides; only if the request is let through
	sent   func(*received) string
	// unexplained: the request cannot be written as a question to /explain.
	unexplained bool
}

// pass expects that a plan lets the request through.
func pass(say, plan, target string, header ...string) probe {
	return probe{say: say, call: call{target: target, header: header}, status: http.StatusOK, plan: plan}
}

// deny expects a denial, in the Api's own format if reason is empty.
func deny(say string, status int, reason, target string, header ...string) probe {
	return probe{say: say, call: call{target: target, header: header}, status: status, reason: reason}
}

// sending looks at what the upstream got; it returns what is wrong.
func (p probe) sending(look func(*received) string) probe {
	p.sent = look
	return p
}

// has expects a header field at the upstream; an empty value: none of that name.
func has(name, value string) func(*received) string {
	return func(r *received) string {
		got := r.header.Values(name)
		if value == "" && len(got) == 0 || len(got) == 1 && got[0] == value && value != "" {
			return ""
		}
		return fmt.Sprintf("%s is %q, not %q", name, got, value)
	}
}

// run starts one node for all rows and goes through them.
func run(t *testing.T, common string, rows []row) {
	t.Helper()
	resources := []string{common}
	for _, r := range rows {
		if r.setup != "" {
			resources = append(resources, r.setup)
		}
	}
	n := start(t, resources...)
	whole := t
	for _, r := range rows {
		t.Run(r.id, func(t *testing.T) {
			n.t = t
			defer func() { n.t = whole }()
			if len(r.probes) == 0 && r.check == nil {
				t.Error("nothing is asked")
			}
			for _, p := range r.probes {
				n.probe(p)
			}
			if r.check != nil {
				r.check(t, n)
			}
		})
	}
}

// probe sends the request, and asks for an explanation of it, which must agree.
func (n *node) probe(p probe) {
	n.t.Helper()
	got := n.ask(p.call)
	passed := p.status < 300
	switch {
	case got.status != p.status, p.reason != "" && got.reason() != p.reason:
		n.t.Errorf("%s: got %d %s, want %d %s\n%s", p.say, got.status, got.reason(), p.status, p.reason, got.body)
	case passed != (got.reached == 1), !passed && got.reached != 0:
		n.t.Errorf("%s: answered with %d, but the upstream was called %d times", p.say, got.status, got.reached)
	case passed && p.sent != nil:
		if fault := p.sent(n.received()); fault != "" {
			n.t.Errorf("%s: at the upstream, %s", p.say, fault)
		}
	}
	if !passed && got.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") == "" {
		n.t.Errorf("%s: 401 without a challenge", p.say)
	}
	if p.unexplained {
		return
	}
	e := n.explain(p.call)
	if e.Allowed != passed || p.reason != "" && e.Reason != p.reason || passed && e.Plan != p.plan {
		n.t.Errorf("%s: explained as %v %s by plan %q, want plan %q", p.say, e.Allowed, e.Reason, e.Plan, p.plan)
	}
}

// elsewhere is a behaviour that is not asked here, and why not.
type elsewhere struct{ ids, what, why string }

// document is what the tests say about one product.
type document struct {
	name, title string
	rows        []row
	elsewhere   []elsewhere
}

var update = flag.Bool("update", false, "write the tables in docs anew")

// verify holds a product's part of the document against its table.
func (d document) verify(t *testing.T) {
	t.Helper()
	hold(t, "../../docs/compatibility.md", d.name, d.render(t))
}

// hold compares a part of a document with what it should be, or writes it.
func hold(t *testing.T, file, part, want string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+part+": written by gateway/conformance -->\n", "<!-- "+part+": end -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	old, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no part between %q and %q", file, begin, end)
	}
	want = "\n" + want + "\n"
	switch {
	case old == want:
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is out of date; run: go test ./gateway/conformance -update", file)
	}
}

func (d document) render(t *testing.T) string {
	t.Helper()
	var same, differs, left strings.Builder
	rows := slices.Clone(d.rows)
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(number(a.id), number(b.id)) })
	for _, r := range rows {
		if (r.ours == "") != (r.why == "") {
			t.Errorf("%s %s: a difference needs both what and why", d.name, r.id)
		}
		if r.ours == "" {
			fmt.Fprintf(&same, "| %s | %s | %s |\n", r.id, cell(r.what), cell(r.theirs))
			continue
		}
		fmt.Fprintf(&differs, "| %s | %s | %s | %s | %s |\n", r.id, cell(r.what), cell(r.theirs), cell(r.ours), cell(r.why))
	}
	for _, e := range d.elsewhere {
		fmt.Fprintf(&left, "| %s | %s | %s |\n", e.ids, cell(e.what), cell(e.why))
	}
	return "### Different on purpose\n\n| no. | given | " + d.title + " | Portcullis | why |\n|---|---|---|---|---|\n" + differs.String() +
		"\n### The same\n\n| no. | given | then |\n|---|---|---|\n" + same.String() +
		"\n### Not asked here\n\n| no. | what | why not |\n|---|---|---|\n" + left.String()
}

// number is that of a row's id; 0: it has none.
func number(id string) (n int) {
	_, _ = fmt.Sscanf(id, "%d", &n)
	return n
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// api is an Api at /id with its own plans.
func api(id string, lines ...string) string {
	return "---\nkind: Api\nid: " + id + "\nname: " + id + "\nversion: 1.0.0\ncontext_path: /" + id +
		"\nupstream: {targets: [{url: $UPSTREAM}]}\n" + join(lines)
}

// plan is a published plan. Its Api is what stands before the first dash of its id.
func plan(id, security string, lines ...string) string {
	of, _, _ := strings.Cut(id, "-")
	return "---\nkind: Plan\nid: " + id + "\napi: " + of + "\nstatus: PUBLISHED\nsecurity: " + security + "\n" + join(lines)
}

// subscribe subscribes an application to plans.
func subscribe(application string, plans ...string) string {
	var b strings.Builder
	for _, p := range plans {
		fmt.Fprintf(&b, "---\nkind: Subscription\nid: %s.%s\napplication: %s\nplan: %s\n", application, p, application, p)
	}
	return b.String()
}

// issuer is an issuer "https://id.test" with an application id-app, whose client at it is "app".
func issuer(id, keys string, lines ...string) string {
	return "---\nkind: Issuer\nid: " + id + "\nissuer: https://" + id + ".test\nkeys: " + keys + "\n" + join(lines) + application(id+"-app", id+" app")
}

// application has a client for each "issuer client_id".
func application(id string, clients ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\nkind: Application\nid: %s\nname: %s\nclients:\n", id, id)
	for _, c := range clients {
		of, client, _ := strings.Cut(c, " ")
		fmt.Fprintf(&b, "  - {issuer: %s, client_id: %q}\n", of, client)
	}
	return b.String()
}

func join(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// simple is an Api with one JWT plan id-jwt for one issuer, to which the issuer's application is subscribed.
func simple(id, issuer string, jwt ...string) string {
	settings := append([]string{"issuers: [" + issuer + "]"}, jwt...)
	return api(id) + plan(id+"-jwt", "JWT", "jwt: {"+strings.Join(settings, ", ")+"}") + subscribe(issuer+"-app", id+"-jwt")
}

func bearer(token string) string { return "Authorization: Bearer " + token }
