package command_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// speaking are names of fields that may hold a secret or a URL.
var speaking = regexp.MustCompile(`(?i)secret|passw|private|credential|api_?key$|(^|_)key$|token$|url|uri$`)

// open are fields with such a name that anybody may see, and why.
var open = map[protoreflect.FullName]string{
	"portcullis.v1.Limit.key": "an expression",
}

// fields walks every field of every kind of resource.
func fields(visit func(protoreflect.FieldDescriptor)) {
	seen := map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] || !strings.HasPrefix(string(m.FullName()), "portcullis.") {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			visit(f)
			if f.Message() != nil {
				walk(f.Message())
			}
		}
	}
	for number := range pb.Kind_name {
		if r := catalog.New(pb.Kind(number)); r != nil {
			walk(r.ProtoReflect().Descriptor())
		}
	}
}

// A field that may hold a secret says so in the schema, or says here why it does not.
func TestSecretsAreMarkedInTheSchema(t *testing.T) {
	secrets := 0
	fields(func(f protoreflect.FieldDescriptor) {
		if schema.IsSecret(f) {
			secrets++
		}
		if f.Kind() != protoreflect.StringKind && f.Kind() != protoreflect.BytesKind || !speaking.MatchString(string(f.Name())) {
			return
		}
		if _, ok := open[f.FullName()]; !ok && !schema.IsSecret(f) && !schema.IsURL(f) {
			t.Errorf("%s is called as what holds a secret or a URL: give it debug_redact or is_url, or say in this test why not", f.FullName())
		}
	})
	for _, of := range []proto.Message{&pb.Secret{}, &pb.HmacSecret{}} {
		if value := of.ProtoReflect().Descriptor().Fields().ByName("value"); value == nil || !schema.IsSecret(value) {
			t.Errorf("%T has no value with debug_redact", of)
		}
	}
	if secrets < 2 {
		t.Errorf("%d secrets found", secrets)
	}
}

// fill sets every field, lists and maps too: secrets to planted ones, texts and URLs
// so that they hold one where they may.
func fill(m protoreflect.Message, planted string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap():
			entries := m.Mutable(f).Map()
			if value := entries.NewValue(); f.MapValue().Message() != nil {
				fill(value.Message(), planted)
				entries.Set(protoreflect.ValueOfString("k").MapKey(), value)
			} else if f.MapValue().Kind() == protoreflect.StringKind {
				entries.Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString(text(f.MapValue(), planted)))
			}
		case f.IsList() && f.Message() != nil:
			fill(m.Mutable(f).List().AppendMutable().Message(), planted)
			fill(m.Mutable(f).List().AppendMutable().Message(), planted+"2")
		case f.IsList() && f.Kind() == protoreflect.StringKind:
			m.Mutable(f).List().Append(protoreflect.ValueOfString(text(f, planted)))
		case f.IsList():
		case f.Message() != nil:
			if strings.HasPrefix(string(f.Message().FullName()), "portcullis.") {
				fill(m.Mutable(f).Message(), planted)
			}
		case f.Kind() == protoreflect.StringKind && (f.ContainingOneof() == nil || schema.IsSecret(f)):
			m.Set(f, protoreflect.ValueOfString(text(f, planted)))
		}
	}
	// Of the members of a oneof, the secret is what counts.
	for i := range fields.Len() {
		if f := fields.Get(i); schema.IsSecret(f) && f.Cardinality() != protoreflect.Repeated {
			m.Set(f, protoreflect.ValueOfString(planted))
		}
	}
}

func text(f protoreflect.FieldDescriptor, planted string) string {
	switch {
	case schema.IsSecret(f):
		return planted
	case schema.IsURL(f):
		return "https://user:" + planted + "@host.test/path?x=1&access_token=" + planted
	case f.Name() == "id":
		return "x"
	}
	return "text"
}

// Whatever shows resources shows none of their secrets: answers and files, what
// changes would do, and what is wrong with them.
func TestSecretsAreShownNowhere(t *testing.T) {
	kinds := 0
	for number := range pb.Kind_name {
		kind := pb.Kind(number)
		before, after := catalog.New(kind), catalog.New(kind)
		if before == nil {
			continue
		}
		kinds++
		fill(before.ProtoReflect(), "pl4nted-before")
		fill(after.ProtoReflect(), "pl4nted-after")
		s := folded(t, catalog.Empty(), kind, before, 1)
		shown, err := lookup(t, s, kind).Decode()
		if err != nil {
			t.Fatal(err)
		}
		outputs := map[string]string{
			"JSON": string(resource.EncodeJSON(shown)),
			"YAML": string(resource.EncodeYAML([]catalog.Resource{shown})),
		}
		change := changeOf(t, kind, after, 2)
		differences, err := command.Differences(s, &rules.Proposal{Changes: []*pb.Change{change}})
		if err != nil {
			t.Fatal(err)
		}
		outputs["difference"] = fmt.Sprint(differences)
		for _, said := range []catalog.Resource{before, after} {
			d := rules.NewDraft(catalog.Empty(), now())
			if slices.Contains(catalog.UserKinds(), kind) {
				d.Apply(said)
				if _, err := d.Finish(); err != nil {
					outputs["fault"] += err.Error()
				}
			}
		}
		for name, output := range outputs {
			if i := strings.Index(output, "pl4nted"); i >= 0 {
				t.Errorf("%v: %s shows %.300s", kind, name, output[max(0, i-200):])
			}
		}
	}
	if kinds < 9 {
		t.Errorf("%d kinds were looked at", kinds)
	}
}

// A secret that was written in the wrong form is not repeated in the fault.
func TestFaultsOfFormShowNoSecrets(t *testing.T) {
	for _, yaml := range []string{
		"keys: {hmac_secrets: [{value: 7417417}]}",
		"keys: {hmac_secrets: ['7417417 is it']}",
		"keys: {hmac_secrets: 7417417}",
		"keys: {hmac_secrets: [{value: [7417417]}]}",
		"introspection: {client_secret: '7417417'}",
		"introspection: {client_secret: 7417417}",
		"introspection: {private_key: {value: 7417417}}",
		"keys: {jwks_urls: ['https://u:7417417@h.test/k', 'https://h.test/k?api_key=7417417 ', 'u:7417417@h.test']}",
	} {
		docs, err := resource.DecodeYAML("x.yaml", []byte("kind: Issuer\nid: i\nissuer: https://i.test\n"+yaml))
		if err == nil {
			d := rules.NewDraft(catalog.Empty(), now())
			d.Apply(docs[0].Resource)
			_, err = d.Finish()
		}
		if err == nil || strings.Contains(err.Error(), "7417417") {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

func changeOf(t *testing.T, kind pb.Kind, r catalog.Resource, version uint64) *pb.Change {
	t.Helper()
	encoded, err := catalog.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return &pb.Change{Kind: kind, Id: "x", Version: version, Resource: encoded, CreatedAt: now().Unix()}
}

func folded(t *testing.T, s *catalog.State, kind pb.Kind, r catalog.Resource, version uint64) *catalog.State {
	t.Helper()
	s, err := s.WithChanges([]*pb.Change{changeOf(t, kind, r, version)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func lookup(t *testing.T, s *catalog.State, kind pb.Kind) catalog.Record {
	t.Helper()
	record, ok := s.Get(kind, "x")
	if !ok {
		t.Fatalf("no %v", kind)
	}
	return record
}
