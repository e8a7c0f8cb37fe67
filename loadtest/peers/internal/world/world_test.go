//go:build linux

package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/proto"
)

// some is a world that is quickly made.
func some() Sizes { return Sizes{Apis: 20, Applications: 60, Subscriptions: 10} }

// TestPaths: what a token may call is what its application is subscribed to.
func TestPaths(t *testing.T) {
	for _, s := range []Sizes{Million(), some(), {Apis: 10_000, Applications: 1000, Subscriptions: 10}, {Apis: 1, Applications: 1000, Subscriptions: 1}} {
		for k := range 1000 {
			app := s.applicationOf(RS256, k)
			subscribed := map[string]bool{}
			for j := range s.Subscriptions {
				subscribed[s.Subscription(app, j).GetPlan()] = true
			}
			if len(subscribed) != s.Subscriptions {
				t.Fatalf("%+v: application %d is subscribed to %d plans", s, app, len(subscribed))
			}
			plan := func(p string) string { return "plan-" + strings.TrimPrefix(strings.Split(p, "/")[1], "api-") }
			if !subscribed[plan(s.path(app, k))] {
				t.Fatalf("%+v: application %d is not subscribed on %s", s, app, s.path(app, k))
			}
			if foreign := s.Foreign(Token{Application: app}); (foreign == "") != (s.Apis == s.Subscriptions) || foreign != "" && subscribed[plan(foreign)] {
				t.Fatalf("%+v: application %d: foreign path %q", s, app, foreign)
			}
		}
	}
}

// TestApplications: tokens come from many applications, each of the token's issuer,
// and none that changes touch.
func TestApplications(t *testing.T) {
	s, used := Million(), map[int]bool{}
	for k := range 10_000 {
		app := s.applicationOf(RS256, k)
		if algorithmOf(app) != RS256 || app >= s.Applications {
			t.Fatalf("token %d is of application %d, whose issuer is %s", k, app, algorithmOf(app))
		}
		used[app] = true
	}
	if len(used) != 10_000 {
		t.Errorf("10,000 tokens of %d applications", len(used))
	}
	for n := range s.Applications {
		if idle := s.Idle(n); used[idle] || idle >= s.Applications {
			t.Fatalf("application %d is idle", idle)
		}
	}
}

func TestTokens(t *testing.T) {
	keys, err := openKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &World{Config: Config{Say: t.Logf}, dir: t.TempDir(), keys: keys}
	for _, alg := range Algorithms() {
		file, err := w.Mixed(some(), alg, 40)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines, seen := strings.Split(strings.TrimSpace(string(data)), "\n"), map[string]bool{}
		for i, line := range lines {
			at, compact, _ := strings.Cut(line, " ")
			token, err := jwt.Parse(compact, func(*jwt.Token) (any, error) { return keys.private[alg].Public(), nil },
				jwt.WithValidMethods([]string{string(alg)}), jwt.WithIssuer(alg.Issuer()), jwt.WithAudience(Audience), jwt.WithExpirationRequired())
			if forged := (i+1)%10 == 0; (err != nil) != forged {
				t.Fatalf("%s, token %d: %v", alg, i+1, err)
			}
			if token.Header["kid"] != alg.kid() || !path.IsAbs(at) || seen[compact] {
				t.Fatalf("%s, token %d: %v for %s", alg, i+1, token.Header, at)
			}
			seen[compact] = true
		}
		if len(lines) != 40 {
			t.Errorf("%d tokens", len(lines))
		}
		again, err := w.Tokens(some(), alg, 40)
		kept, readErr := os.ReadFile(again)
		if err != nil || readErr != nil || !bytes.Equal(bytes.Split(kept, []byte("\n"))[0], []byte(lines[0])) {
			t.Errorf("tokens were not kept: %v, %v", err, readErr)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	keys, err := openKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := Write(&first, some(), keys, "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for dec := json.NewDecoder(bytes.NewReader(first.Bytes())); dec.More(); {
		var o struct{ Kind string }
		if err := dec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		count[o.Kind]++
	}
	if got, want := fmt.Sprint(count), "map[Api:22 Application:61 Issuer:3 Plan:22 Subscription:601]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Keys are kept.
	if keys, err = openKeys(dir); err != nil {
		t.Fatal(err)
	}
	if err := Write(&second, some(), keys, "http://127.0.0.1:1"); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("another world of the same keys: %v", err)
	}
}

// TestMessages: what changes write is what was imported.
func TestMessages(t *testing.T) {
	s := some()
	if got, want := s.Subscription(31, 2), `id:"sub-000031-2" application:"app-000031" plan:"plan-15" status:ACCEPTED`; strings.ReplaceAll(fmt.Sprint(got), "  ", " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if a := s.Application(31); a.GetClients()[0].GetIssuer() != "idp-es256" || a.GetClients()[0].GetClientId() != "client-000031" {
		t.Errorf("got %v", a)
	}
	if _, err := proto.Marshal(Revocation("x", time.Now())); err != nil {
		t.Error(err)
	}
}
