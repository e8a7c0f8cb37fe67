package rules_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

var update = flag.Bool("update", false, "write what the stories in testdata come to into their want sections")

// story is a state that a file of testdata changes section by section:
//
//	-- apply --         YAML documents, as `apply` takes them
//	-- create --        one, as POST takes it
//	-- put --           one, as PUT takes it
//	-- file --          a whole new state, as a node without a control plane reads it
//	-- do --            commands, one a line, in one draft: VERB REF [REVISION], remove REF [cascade], key-set ISSUER
//	-- try --           commands, one a line, each alone; the state stays
//	-- want --          what the section before comes to
//
// A day passes between two sections. What is refused changes nothing.
type story struct {
	t     *testing.T
	state *catalog.State
	now   time.Time
	steps map[string]bool // that were carried out, like "plan STAGING publish"
}

// TestStories runs every file in testdata. `go test ./shared/rules -run Stories
// -update` writes the want sections; read the difference before you commit it.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	steps := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			runStory(t, file, steps)
		})
	}
	for _, move := range rules.Moves() {
		if !steps[move] {
			t.Errorf("no story has the step %q", move)
		}
	}
}

func runStory(t *testing.T, file string, steps map[string]bool) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	archive := txtar.Parse(data)
	s := &story{t: t, state: catalog.Empty(), now: now(), steps: steps}
	result := &txtar.Archive{Comment: archive.Comment}
	for i, section := range archive.Files {
		if section.Name == "want" {
			continue
		}
		got := s.section(section.Name, string(section.Data))
		s.now = s.now.AddDate(0, 0, 1)
		result.Files = append(result.Files, section, txtar.File{Name: "want", Data: []byte(got)})
		if *update {
			continue
		}
		if i+1 == len(archive.Files) || archive.Files[i+1].Name != "want" {
			t.Fatalf("section %d has no want section after it", i+1)
		}
		if d := cmp.Diff(string(archive.Files[i+1].Data), got); d != "" {
			t.Fatalf("section %d, %s:\n%s\n%s", i+1, section.Name, section.Data, d)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(result), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// section carries one section out and returns what it comes to.
func (s *story) section(name, body string) string {
	switch name {
	case "apply":
		return s.decide(func(d *rules.Draft) {
			for _, r := range resources(s.t, body) {
				d.Apply(r)
			}
			d.DeployTouched()
		})
	case "create":
		return s.decide(func(d *rules.Draft) { d.Create(resources(s.t, body)[0]) })
	case "put":
		return s.decide(func(d *rules.Draft) { d.Replace(resources(s.t, body)[0]) })
	case "file":
		return s.file(body)
	case "do":
		return s.decide(func(d *rules.Draft) {
			for line := range strings.Lines(body) {
				s.command(d, line)
			}
		})
	case "try":
		var b strings.Builder
		before := s.state
		for line := range strings.Lines(body) {
			outcome := s.decide(func(d *rules.Draft) { s.command(d, line) })
			fmt.Fprintf(&b, "%s\n\t%s\n", strings.TrimSpace(line), strings.ReplaceAll(strings.TrimSpace(outcome), "\n", "\n\t"))
			s.state = before
		}
		return b.String()
	}
	s.t.Fatalf("no such section: %s", name)
	return ""
}

// command adds one command to a draft.
func (s *story) command(d *rules.Draft, line string) {
	words := strings.Fields(line)
	if len(words) < 2 {
		s.t.Fatalf("not a command: %q", line)
	}
	verb, target := words[0], ref(words[1])
	switch verb {
	case "remove":
		d.Remove(target, slices.Contains(words, "cascade"))
	case "key-set":
		d.SetKeySet(&pb.KeySet{Id: words[1], Generation: 1})
	default:
		revision := uint64(0)
		if len(words) > 2 {
			var err error
			if revision, err = strconv.ParseUint(words[2], 10, 64); err != nil {
				s.t.Fatal(err)
			}
		}
		if r, ok := s.state.Get(target.Kind, target.ID); ok {
			if m, err := r.Decode(); err == nil {
				s.steps[fmt.Sprintf("%s %s %s", catalog.KindSlug(target.Kind), statusOf(m), verb)] = true
			}
		}
		d.Step(target, verb, revision)
	}
}

// decide finishes a draft and goes on from what it makes.
func (s *story) decide(what func(*rules.Draft)) string {
	d := rules.NewDraft(s.state, s.now)
	what(d)
	p, err := d.Finish()
	if err != nil {
		return told(s.t, err)
	}
	next, err := s.state.WithChanges(p.Changes)
	if err != nil || len(next.Rejects()) > 0 {
		s.t.Fatalf("a proposal cannot be folded: %v, %v", err, next.Rejects())
	}
	var b strings.Builder
	for _, c := range p.Changes {
		b.WriteString(s.change(c, next))
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s: %s\n", n.Ref, n.Text)
	}
	s.state = next
	if b.Len() == 0 {
		return "nothing changes\n"
	}
	return b.String()
}

func (s *story) file(body string) string {
	next, err := rules.FromResources(resources(s.t, body), s.state, s.now)
	if err != nil {
		return told(s.t, err)
	}
	var lines []string
	for _, kind := range catalog.Kinds() {
		for r := range next.All(kind) {
			m, err := r.Decode()
			if err != nil {
				s.t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("in force: %s%s\n", r.Ref(), kept(m, nil)))
		}
	}
	slices.Sort(lines)
	s.state = next
	return strings.Join(lines, "")
}

// told is a refusal, one problem a line.
func told(t *testing.T, err error) string {
	t.Helper()
	problems, ok := errors.AsType[fault.List](err)
	if !ok {
		t.Fatalf("error %v, want Problems", err)
	}
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "refused, %s: %s\n", p.Code, p)
	}
	return b.String()
}

// change is a change on one line: what is done to which resource, and those fields
// which rules set that differ from before.
func (s *story) change(c *pb.Change, next *catalog.State) string {
	r := catalog.Ref{Kind: c.GetKind(), ID: c.GetId()}
	old, existed := s.state.Get(r.Kind, r.ID)
	verb := "create"
	switch {
	case c.GetRemoved():
		return fmt.Sprintf("remove: %s\n", r)
	case existed:
		verb = "update"
	}
	var before catalog.Resource
	if existed {
		before, _ = old.Decode()
	}
	record, _ := next.Get(r.Kind, r.ID)
	after, err := record.Decode()
	if err != nil {
		s.t.Fatal(err)
	}
	text := fmt.Sprintf("%s: %s%s", verb, r, kept(after, before))
	if c.GetRestrictive() {
		text += " restrictive"
	}
	if c.GetVersion() != record.Version() || existed && c.GetVersion() != old.Version()+1 {
		s.t.Fatalf("%s: version %d", text, c.GetVersion())
	}
	return text + "\n"
}

// kept are the fields that rules set or keep, where they differ from before.
func kept(after, before catalog.Resource) string {
	var b strings.Builder
	for _, name := range []protoreflect.Name{"status", "portal_state", "revision", "stopped", "out_of_sync", "issued_before", "generation"} {
		f := after.ProtoReflect().Descriptor().Fields().ByName(name)
		if f == nil || before == nil && !after.ProtoReflect().Has(f) {
			continue
		}
		v := after.ProtoReflect().Get(f)
		if before != nil && v.Equal(before.ProtoReflect().Get(f)) {
			continue
		}
		text := v.String()
		switch {
		case f.Kind() == protoreflect.EnumKind:
			text = string(f.Enum().Values().ByNumber(v.Enum()).Name())
		case f.Message() != nil:
			text = v.Message().Interface().(*timestamppb.Timestamp).AsTime().Format(time.RFC3339)
		}
		fmt.Fprintf(&b, " %s=%s", name, text)
	}
	return b.String()
}

// statusOf is where a resource is in its lifecycle.
func statusOf(m proto.Message) string {
	switch m := m.(type) {
	case *pb.Api:
		return m.GetPortalState().String()
	case *pb.Plan:
		return m.GetStatus().String()
	case *pb.Subscription:
		return m.GetStatus().String()
	}
	return ""
}
