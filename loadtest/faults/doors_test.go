package faults_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// contractFile is the resource schema by example.
const contractFile = "shared/resource/testdata/contract.yaml"

// TestDoors: the contract is accepted as it stands by `keymanager-sync apply -f`,
// by POST /v1/apply and by `gateway --resources`. What is wrong with a file is
// refused by all three, with file, line, field and cure, and nothing of it is
// applied.
func TestDoors(t *testing.T) {
	t.Parallel()
	contract, err := os.ReadFile(filepath.Join(root, contractFile))
	if err != nil {
		t.Fatal(err)
	}
	d := openDoors(t, string(contract))
	d.accept(t)
	if t.Failed() {
		return
	}
	for _, s := range spoils(t) {
		t.Run(s.name, func(t *testing.T) {
			text, line := s.text(t, d.contract)
			d.throughCommand(t, s, text, line)
			d.throughAPI(t, s, text, line)
			if s.noFile {
				return // a file has no past: what it says is where it begins
			}
			d.throughFile(t, s, text, line)
		})
	}
	d.correct(t)
}

// doors are the three ways in.
type doors struct {
	contract string
	s        *standalone      // the control plane behind the first two
	gateway  *cluster.Process // the third
	file     string           // that the gateway reads
	extra    string           // another one next to it
	logRead  int              // how much of the gateway's log has been looked at
	partner  *issuer
}

// openDoors starts a control plane with nothing in it and prepares a gateway
// that reads the contract and, for something to call, an Api of the test's.
func openDoors(t *testing.T, contract string) *doors {
	t.Helper()
	// The example's public key is that of RFC 8037, appendix A; here is its other half.
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	d := &doors{contract: contract, s: newStandalone(t), partner: &issuer{"https://partner.test", "p1", ed25519.NewKeyFromSeed(seed)}}
	dir := t.TempDir()
	d.file, d.extra = filepath.Join(dir, "contract.yaml"), filepath.Join(dir, "extra.yaml")
	d.write(t, d.file, contract)
	d.write(t, d.extra, fmt.Sprintf(`
kind: Api
id: echo
context_path: %s
upstream: {targets: [{url: "%s"}]}
---
kind: Plan
id: echo-jwt
api: echo
security: JWT
status: PUBLISHED
auto_accept: true
jwt: {issuers: [partner]}
---
kind: Application
id: laptop
clients: [{issuer: partner, client_id: laptop}]
---
kind: Subscription
id: laptop-echo
application: laptop
plan: echo-jwt
`, echoPath, echo(t)))
	d.gateway = newCluster(t, cluster.Options{Gateways: 1, Resources: []string{d.file, d.extra}}).Gateways[0]
	d.gateway.Args, d.gateway.Out = append(d.gateway.Args, "--log-format", "json"), filepath.Join(dir, "gateway.out")
	clustertest.Start(t, d.s.Process)
	return d
}

func (d *doors) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// accept puts the contract through all doors, and then the past that some steps
// need through one.
func (d *doors) accept(t *testing.T) {
	t.Helper()
	out, err := d.command(t, d.contract)
	if err != nil {
		t.Errorf("keymanager-sync apply: %v\n%s", err, out)
	}
	counts := make(map[string]int)
	for ref := range d.everything(t) {
		kind, _, _ := strings.Cut(ref, "/")
		counts[kind]++
	}
	want := map[string]int{"issuers": 2, "apis": 1, "plans": 2, "applications": 1, "subscriptions": 1, "revocations": 1}
	if !maps.Equal(counts, want) {
		t.Errorf("after apply there are %v, want %v", counts, want)
	}
	a, err := d.s.api.apply(d.contract)
	if must(t, a, err); strings.Contains(string(a.body), `"update"`) || strings.Contains(string(a.body), `"create"`) {
		t.Errorf("applied once more, the contract changes something: %s", a)
	}
	a, err = d.s.api.apply(past)
	must(t, a, err)
	a, err = d.s.api.post("/v1/subscriptions/declined/reject")
	must(t, a, err)

	clustertest.Start(t, d.gateway)
	d.serves(t)
	// The standalone's own gateway has the contract, too.
	c := newCaller(d.s.Address, d.ordersToken())
	c.url = "http://" + d.s.Address + "/orders/v1/1"
	eventually(t, startWithin, "the standalone decides by the contract", c.expect(403, "subscription_not_found"))
}

// ordersToken is good for the contract's plan, and of a client that has not subscribed.
func (d *doors) ordersToken() string {
	return d.partner.token("laptop", map[string]any{"tenant": "acme", "scope": "orders.read", "level": 2})
}

// serves checks that the gateway decides by the good files.
func (d *doors) serves(t *testing.T) {
	t.Helper()
	c := newCaller(d.gateway.Address, d.partner.token("laptop", nil))
	if err := c.expect(200, "")(); err != nil {
		t.Errorf("the other file's Api: %v", err)
	}
	c.token, c.url = d.ordersToken(), "http://"+d.gateway.Address+"/orders/v1/1"
	if err := c.expect(403, "subscription_not_found")(); err != nil {
		t.Errorf("the contract's Api: %v", err)
	}
}

// everything is the version of every resource that users write.
func (d *doors) everything(t *testing.T) map[string]uint64 {
	t.Helper()
	all := make(map[string]uint64)
	for _, collection := range []string{"issuers", "apis", "plans", "applications", "subscriptions", "revocations"} {
		for id, r := range list(t, d.s.api, collection) {
			all[collection+"/"+id] = r.Meta.version()
		}
	}
	return all
}

// unchanged runs something that must leave everything as it is.
func (d *doors) unchanged(t *testing.T, door string, run func()) {
	t.Helper()
	before := d.everything(t)
	run()
	if after := d.everything(t); !maps.Equal(before, after) {
		t.Errorf("%s: something of it was applied: %v, before %v", door, after, before)
	}
}

// command runs keymanager-sync apply with its own file.
func (d *doors) command(t *testing.T, text string) (output string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "contract.yaml")
	d.write(t, file, text)
	cmd := exec.Command(filepath.Join(clustertest.Programs(t), "keymanager-sync"), "apply", "--control", d.s.api.base, "-f", file)
	cmd.Env = d.s.Env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *doors) throughCommand(t *testing.T, s spoil, text string, line int) {
	t.Helper()
	d.unchanged(t, "keymanager-sync apply", func() {
		out, err := d.command(t, text)
		if _, failed := errors.AsType[*exec.ExitError](err); !failed {
			t.Errorf("keymanager-sync apply: %v, want an exit status\n%s", err, out)
		}
		if err := s.reported(out, line); err != nil {
			t.Errorf("keymanager-sync apply: %v", err)
		}
	})
}

// reported checks that a text is one line, which names the place, the resource, the
// field and the cure: what follows from the fault is not reported as another one.
func (s spoil) reported(out string, line int) error {
	place := fmt.Sprintf("contract.yaml:%d:", line)
	switch {
	case s.hide != "" && strings.Contains(out, s.hide):
		return fmt.Errorf("a secret is shown: %s", out)
	case strings.Count(out, "\n") != 1:
		return fmt.Errorf("want one line, got\n%s", out)
	}
	return contains(out, slices.Concat([]string{place, s.id, s.field}, s.say)...)
}

func (d *doors) throughAPI(t *testing.T, s spoil, text string, line int) {
	t.Helper()
	d.unchanged(t, "POST /v1/apply", func() {
		a, err := d.s.api.apply(text)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != 422 || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("POST /v1/apply: got %d %s, want a problem and 422", a.status, a.header.Get("Content-Type"))
		}
		if s.hide != "" && strings.Contains(string(a.body), s.hide) {
			t.Errorf("POST /v1/apply: a secret is shown: %s", a.body)
		}
		errs := a.problem().Errors
		if len(errs) != 1 || errs[0].Line != line || errs[0].ID != s.id || errs[0].Field != s.field {
			t.Errorf("POST /v1/apply: want one error for line %d, %q, %q: %s", line, s.id, s.field, a.body)
		} else if err := contains(errs[0].Message+" "+errs[0].Hint, s.say...); err != nil {
			t.Errorf("POST /v1/apply: %v", err)
		}
	})
}

// throughFile edits the file of the running gateway, and starts another one with it.
func (d *doors) throughFile(t *testing.T, s spoil, text string, line int) {
	t.Helper()
	faults := metric(t, d.gateway.Admin, "portcullis_resource_file_faults_total")
	d.write(t, d.file, text)
	eventually(t, 10*time.Second, "the edit is refused", func() error {
		if metric(t, d.gateway.Admin, "portcullis_resource_file_faults_total") == faults {
			return errors.New("no fault was counted")
		}
		return nil
	})
	var failed error
	eventually(t, 5*time.Second, "the refusal is logged", func() error {
		refused := d.refusals(t)
		if refused == "" {
			return errors.New("nothing")
		}
		failed = s.reported(refused, line)
		return nil
	})
	if failed != nil {
		t.Errorf("gateway, edited: %v", failed)
	}
	d.serves(t)

	cmd := exec.Command(filepath.Join(clustertest.Programs(t), "gateway"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--resources", d.file+","+d.extra, "--log-level", "error")
	cmd.Env = d.s.Env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	ended := time.AfterFunc(startWithin, func() { _ = cmd.Process.Kill() })
	defer ended.Stop()
	if _, failed := errors.AsType[*exec.ExitError](cmd.Run()); !failed {
		t.Error("gateway: started with a bad file")
	}
	if err := s.reported(stderr.String(), line); err != nil {
		t.Errorf("gateway, started: %v", err)
	}
}

// refusals is what the gateway has logged about its files since the last time.
func (d *doors) refusals(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(d.gateway.Log)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	for line := range bytes.Lines(whole[d.logRead:]) {
		var entry struct{ Level, Msg, Error string }
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if entry.Level == "ERROR" && strings.Contains(entry.Msg, "the old state stays") {
			text.WriteString(entry.Error + "\n")
		}
	}
	d.logRead = len(whole)
	return text.String()
}

// correct: after all the bad edits, a good one is in force at once.
func (d *doors) correct(t *testing.T) {
	t.Helper()
	d.write(t, d.file, strings.Replace(d.contract, "context_path: /orders", "context_path: /bestellungen", 1))
	c := newCaller(d.gateway.Address, d.ordersToken())
	c.url = "http://" + d.gateway.Address + "/bestellungen/v1/1"
	eventually(t, 10*time.Second, "a good edit is in force", c.expect(403, "subscription_not_found"))
	c.url = "http://" + d.gateway.Address + "/orders/v1/1"
	if err := c.expect(404, "api_not_found")(); err != nil {
		t.Errorf("the path before the edit: %v", err)
	}
}
