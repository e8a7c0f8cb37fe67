package command_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// after carries commands out one after another, from an empty state.
func after(t *testing.T, s *catalog.State, commands ...command.Command) *catalog.State {
	t.Helper()
	for _, cmd := range commands {
		p, err := command.Decide(s, cmd, now())
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		if s, err = s.WithChanges(p.Changes); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func idp() *pb.Issuer {
	return &pb.Issuer{Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{
		JwksUrls:    []string{"https://idp.example/jwks"},
		HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Value{Value: "0123456789abcdef0123456789abcdef"}}},
	}}
}

func ref(kind pb.Kind, id string) catalog.Ref { return catalog.Ref{Kind: kind, ID: id} }

func TestPreconditions(t *testing.T) {
	s := after(t, catalog.Empty(), command.Create{Resource: idp()})
	changed := idp()
	changed.Name = "changed"
	other := idp()
	other.Id, other.Issuer = "other", "https://other.example/"
	issuer := ref(pb.Kind_KIND_ISSUER, "idp")
	for name, c := range map[string]struct {
		cmd  command.Command
		pass bool
	}{
		"right version":        {command.Replace{Resource: changed, If: command.Precondition{Versions: []command.Version{{Number: 7}, {Number: 1}}}}, true},
		"wrong version":        {command.Replace{Resource: changed, If: command.Precondition{Versions: []command.Version{{Number: 2}}}}, false},
		"version of nothing":   {command.Replace{Resource: other, If: command.Precondition{Versions: []command.Version{{Number: 1}}}}, false},
		"exists":               {command.Replace{Resource: changed, If: command.Precondition{Exists: true}}, true},
		"does not exist":       {command.Replace{Resource: other, If: command.Precondition{Exists: true}}, false},
		"absent":               {command.Replace{Resource: other, If: command.Precondition{Absent: true}}, true},
		"not absent":           {command.Replace{Resource: changed, If: command.Precondition{Absent: true}}, false},
		"remove right version": {command.Remove{Ref: issuer, If: command.Precondition{Versions: []command.Version{{Number: 1}}}}, true},
		"remove wrong version": {command.Remove{Ref: issuer, If: command.Precondition{Versions: []command.Version{{Number: 3}}}}, false},
		"step wrong version":   {command.Step{Ref: issuer, Verb: "publish", If: command.Precondition{Versions: []command.Version{{Number: 3}}}}, false},
	} {
		_, err := command.Decide(s, c.cmd, now())
		_, failed := errors.AsType[*command.PreconditionError](err)
		if failed == c.pass || (c.pass && err != nil) {
			t.Errorf("%s: %v, want pass %t", name, err, c.pass)
		}
	}
}

// A resource that was removed and created again has another version, whatever its number.
func TestVersionsTellResourcesApart(t *testing.T) {
	issuer := ref(pb.Kind_KIND_ISSUER, "idp")
	first := after(t, catalog.Empty(), command.Create{Resource: idp()})
	record, _ := first.Get(issuer.Kind, issuer.ID)
	before := command.VersionOf(record)
	if again, ok := command.ParseVersion(before.String()); !ok || again != before || before.Number != 1 || before.Made == 0 {
		t.Fatalf("version %+v, read again as %+v", before, again)
	}
	p, err := command.Decide(catalog.Empty(), command.Create{Resource: idp()}, now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	second, err := catalog.Empty().WithChanges(p.Changes)
	if err != nil {
		t.Fatal(err)
	}
	remove := func(v command.Version) command.Command {
		return command.Remove{Ref: issuer, If: command.Precondition{Versions: []command.Version{v}}}
	}
	if _, err := command.Decide(first, remove(before), now()); err != nil {
		t.Errorf("the version itself: %v", err)
	}
	_, err = command.Decide(second, remove(before), now())
	if _, ok := errors.AsType[*command.PreconditionError](err); !ok || !strings.Contains(err.Error(), "created again") {
		t.Errorf("the version of one that was removed: %v", err)
	}
	if _, err := command.Decide(second, remove(command.Version{Number: 1}), now()); err != nil {
		t.Errorf("the number alone: %v", err)
	}
	for _, text := range []string{"", "0", "-1", "1-", "1-0", "1--1", "1-x-y", "1-!", "x", "1-zzzzzzzzzzzzzzzzz"} {
		if v, ok := command.ParseVersion(text); ok {
			t.Errorf("%q is read as %+v", text, v)
		}
	}
}

func TestCloseOrphans(t *testing.T) {
	resources := []catalog.Resource{
		idp(),
		&pb.Api{Id: "orders", Name: "Orders", ContextPath: "/orders", Upstream: &pb.Upstream{Targets: []*pb.Target{{Url: "http://127.0.0.1:1"}}}},
		&pb.Application{Id: "a", Name: "a"},
		&pb.Application{Id: "b", Name: "b"},
	}
	for _, id := range []string{"ended", "going"} {
		resources = append(resources,
			&pb.Plan{Id: id, Api: "orders", Name: id, Security: pb.Plan_JWT, Status: pb.Plan_PUBLISHED, Jwt: &pb.JwtSettings{Issuers: []string{"idp"}}},
			&pb.Subscription{Id: id + "-a", Application: "a", Plan: id, Status: pb.Subscription_ACCEPTED},
			&pb.Subscription{Id: id + "-b", Application: "b", Plan: id, Status: pb.Subscription_REJECTED})
	}
	s := after(t, catalog.Empty(), command.Apply{Resources: resources})
	p, err := command.Decide(s, command.Step{Ref: ref(pb.Kind_KIND_PLAN, "ended"), Verb: "close"}, now())
	if err != nil {
		t.Fatal(err)
	}
	// As if there had been too many: only the plan is closed.
	p.Changes = slices.DeleteFunc(p.Changes, func(c *pb.Change) bool { return c.GetKind() != pb.Kind_KIND_PLAN })
	if s, err = s.WithChanges(p.Changes); err != nil {
		t.Fatal(err)
	}
	p, err = command.Decide(s, command.CloseOrphans{Subscriptions: []string{"ended-a", "ended-b", "going-a", "nobody"}}, now())
	if err != nil || len(p.Changes) != 1 || p.Changes[0].GetId() != "ended-a" || !p.Changes[0].GetRestrictive() {
		t.Errorf("changes %v, %v; want that of ended-a alone", p, err)
	}
}

func TestDifferencesReadable(t *testing.T) {
	api := &pb.Api{
		Id: "orders", Name: "Orders", Version: "1", ContextPath: "/orders",
		Upstream: &pb.Upstream{Targets: []*pb.Target{{Url: "http://127.0.0.1:1"}}},
	}
	plan := &pb.Plan{
		Id: "orders-jwt", Api: "orders", Name: "JWT", Security: pb.Plan_JWT, Status: pb.Plan_STAGING,
		Jwt: &pb.JwtSettings{Issuers: []string{"idp"}},
	}
	s := after(t, catalog.Empty(), command.Apply{Resources: []catalog.Resource{idp(), api, plan}})
	issuer := idp()
	issuer.Audiences = []string{"a", "b"}
	issuer.Keys.HmacSecrets[0].Source = &pb.HmacSecret_Value{Value: "another-secret-of-32-characters!"}
	plan.Status = pb.Plan_PUBLISHED
	app := &pb.Application{Id: "new", Name: "New"}
	p, err := command.Decide(s, command.Apply{Resources: []catalog.Resource{issuer, plan, app}, Deploy: true}, now())
	if err != nil {
		t.Fatal(err)
	}
	differences, err := command.Differences(s, p)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range differences {
		lines = append(lines, d.String())
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"~ plan/orders-jwt: status STAGING → PUBLISHED",
		"~ issuer/idp: audiences unset → [a, b]",
		"~ issuer/idp: keys.hmac_secrets[0].value (secret) → (secret)",
		"+ application/new",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "another-secret") || strings.Contains(text, "0123456789") {
		t.Errorf("a secret is shown in\n%s", text)
	}
	p, err = command.Decide(s, command.Remove{Ref: ref(pb.Kind_KIND_PLAN, "orders-jwt")}, now())
	if err != nil {
		t.Fatal(err)
	}
	if differences, err = command.Differences(s, p); err != nil || differences[0].String() != "- plan/orders-jwt" {
		t.Errorf("removal: %v, %v", differences, err)
	}
}

func source(jwks string, fetched time.Duration) *pb.KeySet_Source {
	return &pb.KeySet_Source{
		Url: "https://idp.example/jwks", Jwks: jwks,
		FetchedAt: timestamppb.New(now().Add(fetched)), UsableUntil: timestamppb.New(now().Add(fetched + 24*time.Hour)),
	}
}

func TestPutKeySet(t *testing.T) {
	s := after(t, catalog.Empty(), command.Create{Resource: idp()})
	set := func(jwks string, fetched time.Duration) (generation uint64, written bool) {
		t.Helper()
		p, err := command.Decide(s, command.PutKeySet{
			Issuer: "idp", Sources: []*pb.KeySet_Source{source(jwks, fetched)}, RenewAfter: time.Hour,
		}, now())
		if err != nil {
			t.Fatal(err)
		}
		if s, err = s.WithChanges(p.Changes); err != nil {
			t.Fatal(err)
		}
		k, _ := catalog.Lookup[*pb.KeySet](s, pb.Kind_KIND_KEY_SET, "idp")
		return k.GetGeneration(), len(p.Changes) > 0
	}
	for _, step := range []struct {
		name       string
		jwks       string
		fetched    time.Duration
		generation uint64
		written    bool
	}{
		{"first", `{"keys":[1]}`, 0, 1, true},
		{"the same soon after", `{"keys":[1]}`, 59 * time.Minute, 1, false},
		{"the same, to be renewed", `{"keys":[1]}`, time.Hour, 1, true},
		{"other keys", `{"keys":[2]}`, time.Hour + time.Second, 2, true},
		{"fetched before", `{"keys":[1]}`, time.Hour, 2, false},
		{"other keys again", `{"keys":[1]}`, 2 * time.Hour, 3, true},
	} {
		generation, written := set(step.jwks, step.fetched)
		if generation != step.generation || written != step.written {
			t.Errorf("%s: generation %d, written %t; want %d, %t", step.name, generation, written, step.generation, step.written)
		}
	}
	_, err := command.Decide(s, command.PutKeySet{Issuer: "nobody"}, now())
	if ps, ok := errors.AsType[fault.List](err); !ok || !ps.Has(fault.Dangling) {
		t.Errorf("of no issuer: %v", err)
	}
	s = after(t, s, command.Remove{Ref: ref(pb.Kind_KIND_ISSUER, "idp")})
	if s.Len(pb.Kind_KIND_KEY_SET) != 0 {
		t.Error("the key set outlives its issuer")
	}
}

// What was fetched for settings that the issuer does not have any more is not written,
// whatever is in the log; and a set that does not say under which settings it was
// fetched is written again as soon as that is known.
func TestPutKeySetOfOtherSettings(t *testing.T) {
	issuer := idp()
	s := after(t, catalog.Empty(), command.Create{Resource: issuer})
	put := func(under string, fetched time.Duration) bool {
		t.Helper()
		one := source(`{"keys":[1]}`, fetched)
		one.FetchedUnder = under
		p, err := command.Decide(s, command.PutKeySet{Issuer: "idp", Sources: []*pb.KeySet_Source{one}, RenewAfter: time.Hour}, now())
		if err != nil {
			t.Fatal(err)
		}
		if s, err = s.WithChanges(p.Changes); err != nil {
			t.Fatal(err)
		}
		return len(p.Changes) > 0
	}
	if !put("", 0) || !put(keyset.FetchedUnder(issuer, false), time.Second) || put(keyset.FetchedUnder(issuer, false), 2*time.Second) {
		t.Error("a set whose settings are known now is not written, or twice")
	}
	before := keyset.FetchedUnder(issuer, false)
	issuer.Issuer = "https://renamed.test"
	s = after(t, s, command.Replace{Resource: issuer})
	if put(before, time.Hour*2) {
		t.Error("keys of other settings are written")
	}
	// The clock of who fetched them is behind: older than those, but they count.
	if !put(keyset.FetchedUnder(issuer, false), -time.Hour) {
		t.Error("keys of the present settings are not written")
	}
}

func TestSweepRemovesOnlyWhatHasEnded(t *testing.T) {
	revocation := func(id string, ends time.Duration) *pb.Revocation {
		return &pb.Revocation{
			Id: id, Issuer: "idp", Target: &pb.Revocation_Jti{Jti: id}, ExpiresAt: timestamppb.New(now().Add(ends)),
		}
	}
	s := after(t, catalog.Empty(), command.Apply{Resources: []catalog.Resource{
		idp(), revocation("ended", time.Minute), revocation("lives", time.Hour),
	}})
	p, err := command.Decide(s, command.Sweep{Revocations: []string{"ended", "lives", "never-was"}, Before: now().Add(time.Minute)}, now())
	if err != nil || len(p.Changes) != 1 || p.Changes[0].GetId() != "ended" || !p.Changes[0].GetRemoved() {
		t.Errorf("changes %v, %v", p, err)
	}
}
