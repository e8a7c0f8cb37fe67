package schema_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// recordings has, for each version of the schema, entries of the log as that version
// wrote them, and what they amounted to then.
const recordings = "../../proto/testdata"

var update = flag.Bool("update", false, "record the entries of the present version of the schema, unless it is an accepted one")

func recording(version uint32) string {
	return filepath.Join(recordings, fmt.Sprintf("schema-%d.entries", version))
}

// TestRecordedEntries folds what every version of the schema wrote: it is understood
// as it was then.
func TestRecordedEntries(t *testing.T) {
	if *update {
		record(t)
	}
	for version := uint32(1); version <= pb.SchemaVersion; version++ {
		raw, err := os.ReadFile(recording(version))
		if err != nil {
			t.Fatalf("version %d: %v (hint: go test ./shared/schema -update)", version, err)
		}
		want, err := os.ReadFile(recording(version) + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		if got := amount(t, version, raw); got != string(want) {
			t.Errorf("version %d amounts to\n%swant\n%s", version, got, want)
		}
	}
}

// amount folds entries and says what they amount to, after each of them.
func amount(t *testing.T, version uint32, raw []byte) string {
	t.Helper()
	var text strings.Builder
	state, reader := catalog.Empty(), bytes.NewReader(raw)
	for sequence := uint64(1); ; sequence++ {
		entry := new(pb.Entry)
		err := protodelim.UnmarshalFrom(reader, entry)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if sequence == 1 {
			state = state.At(catalog.Position{Epoch: entry.GetEpoch(), EpochID: entry.GetFounding()})
		}
		understood(t, version, entry)
		encoded, err := proto.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		next, effects, err := state.Apply(sequence, encoded)
		if err != nil || len(effects.Rejects) > 0 {
			t.Fatalf("version %d, entry %d: %v, rejects %v", version, sequence, err, effects.Rejects)
		}
		state = next
		_, _ = fmt.Fprintf(&text, "%d %016x %s\n", sequence, state.SetHash(), entry.GetTransactions()[0].GetCommand())
	}
	for _, kind := range catalog.Kinds() {
		for r := range state.All(kind) {
			_, _ = fmt.Fprintf(&text, "%s version %d\n", r.Ref(), r.Version())
		}
	}
	return text.String()
}

// understood checks that a version wrote only what it has itself.
func understood(t *testing.T, version uint32, entry *pb.Entry) {
	t.Helper()
	for _, transaction := range entry.GetTransactions() {
		for _, c := range transaction.GetChanges() {
			m := catalog.New(c.GetKind())
			if err := proto.Unmarshal(c.GetResource(), m); err != nil {
				t.Fatal(err)
			}
			need := schema.Requires(m)
			if max(need.Version, schema.KindRequires(c.GetKind())) > version {
				t.Errorf("version %d wrote a %s that needs %+v", version, c.GetKind(), need)
			}
		}
	}
}

// record writes the entries of the present version. Those of an accepted version are
// never written again.
func record(t *testing.T) {
	t.Helper()
	name := recording(pb.SchemaVersion)
	if _, err := os.Stat(name); err == nil && pb.SchemaVersion <= acceptedVersion(t) {
		t.Fatalf("%s is of an accepted version: its entries stay as they are (hint: raise the version of the schema first)", name)
	}
	raw := entries(t, pb.SchemaVersion)
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".golden", []byte(amount(t, pb.SchemaVersion, raw)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// entries are one for each step of every lifecycle.
func entries(t *testing.T, version uint32) []byte {
	t.Helper()
	var out bytes.Buffer
	now := time.Unix(1_800_000_000, 0)
	p := catalog.Position{Epoch: 1, EpochID: "01JZZZZZZZZZZZZZZZZZZZZZZZ"}
	state := catalog.Empty().At(p)
	for _, s := range steps(t) {
		if s.since > version {
			continue
		}
		now = now.Add(time.Minute)
		draft := rules.NewDraft(state, now)
		s.propose(draft)
		proposal, err := draft.Finish()
		if err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		if len(proposal.Changes) == 0 {
			t.Fatalf("%s changes nothing", s.what)
		}
		if state, err = state.WithChanges(proposal.Changes); err != nil {
			t.Fatal(err)
		}
		entry := &pb.Entry{Epoch: p.Epoch, Founding: p.EpochID, Transactions: []*pb.Transaction{{
			Actor: "recorder", Time: now.UnixMilli(), Command: s.what, IdempotencyKey: "key of " + s.what, Changes: proposal.Changes,
		}}}
		if _, err := protodelim.MarshalTo(&out, entry); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// action is what one entry is about.
type action struct {
	what    string
	since   uint32
	propose func(*rules.Draft)
}

func steps(t *testing.T) []action {
	t.Helper()
	text, err := os.ReadFile("../../docs/resources.yaml") // every kind with every field
	if err != nil {
		t.Fatal(err)
	}
	documents, err := resource.DecodeYAML("resources.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	all := []action{
		{"apply every kind", 1, func(d *rules.Draft) {
			for _, doc := range documents {
				d.Apply(doc.Resource)
			}
			d.DeployTouched()
		}},
		{"renew key-set/acme", 1, func(d *rules.Draft) {
			d.SetKeySet(&pb.KeySet{Id: "acme", Generation: 1, Sources: []*pb.KeySet_Source{{
				Url: "http://127.0.0.1:8090/jwks.json", Jwks: `{"keys":[]}`,
				FetchedAt: timestamppb.New(time.Unix(1_800_000_000, 0)), UsableUntil: timestamppb.New(time.Unix(1_800_090_000, 0)),
			}}})
		}},
		{"create api, plans, subscription", 1, func(d *rules.Draft) {
			d.Create(&pb.Api{Id: "b", Name: "B", ContextPath: "/b", Upstream: &pb.Upstream{Targets: []*pb.Target{{Url: "http://127.0.0.1:8091"}}}})
			d.Create(&pb.Plan{Id: "b-jwt", Api: "b", Name: "J", Security: pb.Plan_JWT, Status: pb.Plan_STAGING, Jwt: &pb.JwtSettings{Issuers: []string{"acme"}}})
			d.Create(&pb.Plan{Id: "b-free", Api: "b", Name: "F", Security: pb.Plan_KEYLESS, Status: pb.Plan_STAGING, Restrictions: &pb.Restrictions{
				Quota: &pb.Limit{Requests: 10, Period: durationpb.New(time.Hour)},
			}})
		}},
	}
	walk := func(kind pb.Kind, id string, verbs ...string) {
		for _, verb := range verbs {
			ref := catalog.Ref{Kind: kind, ID: id}
			all = append(all, action{verb + " " + ref.String(), 1, func(d *rules.Draft) { d.Step(ref, verb, 0) }})
		}
	}
	change := func(what string, since uint32, propose func(*rules.Draft)) {
		all = append(all, action{what, since, propose})
	}
	walk(pb.Kind_KIND_PLAN, "b-jwt", "publish")
	walk(pb.Kind_KIND_PLAN, "b-free", "publish")
	walk(pb.Kind_KIND_API, "b", "deploy", "publish", "unpublish", "publish", "deprecate", "stop", "start")
	change("replace api/b", 1, func(d *rules.Draft) {
		d.Replace(&pb.Api{Id: "b", Name: "B2", ContextPath: "/b", Upstream: &pb.Upstream{Targets: []*pb.Target{{Url: "http://127.0.0.1:8092"}}}})
	})
	walk(pb.Kind_KIND_API, "b", "deploy")
	change("rollback api/b", 1, func(d *rules.Draft) { d.Step(catalog.Ref{Kind: pb.Kind_KIND_API, ID: "b"}, "rollback", 1) })
	for _, id := range []string{"s1", "s2"} {
		change("create application and subscription "+id, 1, func(d *rules.Draft) {
			d.Create(&pb.Application{Id: id, Name: id, Clients: []*pb.Client{{Issuer: "acme", ClientId: id}}})
			d.Create(&pb.Subscription{Id: id, Application: id, Plan: "b-jwt"})
		})
	}
	walk(pb.Kind_KIND_SUBSCRIPTION, "s1", "accept", "pause", "resume", "close")
	walk(pb.Kind_KIND_SUBSCRIPTION, "s2", "reject")
	change("take a client from application/s2", 1, func(d *rules.Draft) { d.Replace(&pb.Application{Id: "s2", Name: "s2"}) })
	for _, r := range []*pb.Revocation{
		{Id: "r1", Issuer: "acme", Target: &pb.Revocation_Jti{Jti: "j"}},
		{Id: "r2", Target: &pb.Revocation_TokenSha256{TokenSha256: strings.Repeat("a", 64)}},
		{Id: "r3", Issuer: "acme", Target: &pb.Revocation_ClientId{ClientId: "c"}},
		{Id: "r4", Issuer: "acme", Target: &pb.Revocation_Subject{Subject: "s"}, Reason: "left"},
	} {
		change("revoke "+r.GetId(), 1, func(d *rules.Draft) { d.Create(r) })
	}
	change("remove revocation/r1", 1, func(d *rules.Draft) { d.Remove(catalog.Ref{Kind: pb.Kind_KIND_REVOCATION, ID: "r1"}, false) })
	walk(pb.Kind_KIND_PLAN, "b-jwt", "deprecate", "close")
	change("record members", 2, func(d *rules.Draft) {
		at := timestamppb.New(time.Unix(1_800_000_000, 0))
		d.SetMember(&pb.Member{Id: "gw-1", JoinedAt: at, HeardAt: at, Version: "v1", Schema: 2, Epoch: 1, Sequence: 7})
		d.SetMember(&pb.Member{Id: "gw-2", JoinedAt: at, HeardAt: at})
	})
	change("remove member/gw-2", 2, func(d *rules.Draft) { d.Remove(catalog.Ref{Kind: pb.Kind_KIND_MEMBER, ID: "gw-2"}, false) })
	change("remove api/b and what refers to it", 1, func(d *rules.Draft) { d.Remove(catalog.Ref{Kind: pb.Kind_KIND_API, ID: "b"}, true) })
	return all
}

// TestRecordingHasEveryKind keeps the recorder from falling behind the schema.
func TestRecordingHasEveryKind(t *testing.T) {
	var seen []pb.Kind
	reader := bytes.NewReader(entries(t, pb.SchemaVersion))
	for {
		entry := new(pb.Entry)
		if err := protodelim.UnmarshalFrom(reader, entry); err != nil {
			break
		}
		for _, c := range entry.GetTransactions()[0].GetChanges() {
			seen = append(seen, c.GetKind())
		}
	}
	for _, kind := range catalog.Kinds() {
		if !slices.Contains(seen, kind) {
			t.Errorf("no entry has a %s", catalog.KindName(kind))
		}
	}
}
