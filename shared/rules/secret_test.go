package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// long makes a secret that is long enough.
func long(name string) string { return strings.Repeat(name, 32)[:32] }

// shared is an issuer with these HMAC secrets, which may be masks, and what else is said.
func shared(secrets []string, more ...string) string {
	quoted := make([]string, len(secrets))
	for i, s := range secrets {
		quoted[i] = fmt.Sprintf("{value: %q}", s)
	}
	return "kind: Issuer\nid: two\nissuer: https://two.test\nkeys: {hmac_secrets: [" + strings.Join(quoted, ", ") + "]}\n" + strings.Join(more, "\n")
}

func introspecting(secret string) string {
	return "introspection: {url: 'http://h.test/i', client_id: g, client_secret: {value: '" + secret + "'}}"
}

// masks are what answers show in place of the HMAC secrets of an issuer.
func masks(t *testing.T, s *catalog.State, id string) []string {
	t.Helper()
	shown, err := resource.DecodeJSON("answer", resource.EncodeJSON(lookup[*pb.Issuer](t, s, "issuer/"+id)), pb.Kind_KIND_ISSUER)
	if err != nil {
		t.Fatal(err)
	}
	return values(shown.(*pb.Issuer))
}

func values(i *pb.Issuer) []string {
	var found []string
	for _, s := range i.GetKeys().GetHmacSecrets() {
		found = append(found, s.GetValue())
	}
	return found
}

func TestMasksStandForTheSecretsTheyWereShownFor(t *testing.T) {
	a, b, n := long("a"), long("b"), long("n")
	base := applied(t, catalog.Empty(), shared([]string{a, b}, introspecting("c")))
	base = applied(t, base, strings.ReplaceAll(shared([]string{long("x")}), "two", "other"))
	m := masks(t, base, "two")
	other := masks(t, base, "other")[0]
	client := lookupMask(t, base)
	if m[0] == m[1] || slices.Contains(m, other) {
		t.Fatalf("masks %v and %s do not tell secrets apart", m, other)
	}
	for _, c := range []struct {
		name  string
		write string
		want  []string // the secrets afterwards; nil: refused
		where string
	}{
		{"as they were", shared(m, introspecting(client)), []string{a, b}, ""},
		{"the first deleted", shared(m[1:]), []string{b}, ""},
		{"the second deleted", shared(m[:1]), []string{a}, ""},
		{"turned around", shared([]string{m[1], m[0]}), []string{b, a}, ""},
		{"a new one before", shared([]string{n, m[0], m[1]}), []string{n, a, b}, ""},
		{"the first replaced", shared([]string{n, m[1]}), []string{n, b}, ""},
		{"written out, and a mask", shared([]string{b, m[0]}), []string{b, a}, ""},
		{"without a name, where there is one", shared(m, introspecting("********")), []string{a, b}, ""},

		{"a mask twice", shared([]string{m[1], m[1]}), nil, "keys.hmac_secrets[1].value: is the same mask a second time"},
		{"without a name, where there are two", shared([]string{"********"}), nil, "keys.hmac_secrets[0].value: is a mask that could stand for several secrets"},
		{"without names", shared([]string{"********", "********"}), nil, "keys.hmac_secrets[0].value: is a mask that could stand for several secrets"},
		{"of another issuer", shared([]string{other}), nil, "keys.hmac_secrets[0].value: is a mask of a secret that is not here"},
		{"of nothing", shared([]string{"********-0123456789ab"}), nil, "keys.hmac_secrets[0].value: is a mask of a secret that is not here"},
		{"in another place", shared([]string{b}, introspecting(m[0])), nil, "introspection.client_secret.value: is a mask of a secret that is not here"},
		{"and from there", shared([]string{client, m[1]}), nil, "keys.hmac_secrets[0].value: is a mask of a secret that is not here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := rules.NewDraft(base, now())
			for _, r := range resources(t, c.write) {
				d.Replace(r)
			}
			p, err := d.Finish()
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), c.where) {
					t.Errorf("got %v, want %s", err, c.where)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			after, err := base.WithChanges(p.Changes)
			if err != nil {
				t.Fatal(err)
			}
			got := lookup[*pb.Issuer](t, after, "issuer/two")
			if !slices.Equal(values(got), c.want) || got.GetIntrospection() != nil && got.GetIntrospection().GetClientSecret().GetValue() != "c" {
				t.Errorf("got %v", got)
			}
			// What was kept is shown by the same mask as before.
			for i, mask := range masks(t, after, "two") {
				had := slices.Index([]string{a, b}, c.want[i])
				if had >= 0 && mask != m[had] || had < 0 && slices.Contains(m, mask) {
					t.Errorf("%s is shown as %s, before as %v", c.want[i], mask, m)
				}
			}
		})
	}
}

// lookupMask is what answers show in place of the client secret.
func lookupMask(t *testing.T, s *catalog.State) string {
	t.Helper()
	shown, err := resource.DecodeJSON("answer", resource.EncodeJSON(lookup[*pb.Issuer](t, s, "issuer/two")), pb.Kind_KIND_ISSUER)
	if err != nil {
		t.Fatal(err)
	}
	return shown.(*pb.Issuer).GetIntrospection().GetClientSecret().GetValue()
}

// A file that keeps masks can be written again and again, whatever else changes.
func TestMasksStayGood(t *testing.T) {
	a, b, n := long("a"), long("b"), long("n")
	s := applied(t, catalog.Empty(), shared([]string{a, b}))
	file := shared(masks(t, s, "two"), "name: renamed")
	s = applied(t, s, file)
	if again := applied(t, s, file); again.SetHash() != s.SetHash() {
		t.Error("the same file a second time is a change")
	}
	if again := applied(t, s, shared([]string{a, b}, "name: renamed")); again.SetHash() != s.SetHash() {
		t.Error("the same secrets, written out, are a change")
	}
	old := masks(t, s, "two")
	s = applied(t, s, shared([]string{old[1], n}, "name: other"))
	if got := values(lookup[*pb.Issuer](t, s, "issuer/two")); !slices.Equal(got, []string{b, n}) {
		t.Errorf("secrets %v", got)
	}
	// The first secret is gone, and its mask with it: also when there is another in its place.
	d := rules.NewDraft(s, now())
	d.Apply(resources(t, shared(old[:1]))[0])
	if _, err := d.Finish(); err == nil || !strings.Contains(err.Error(), "not any more") {
		t.Errorf("the mask of a deleted secret: %v", err)
	}
}

// Secrets that were written before masks had names are told apart, too.
func TestMasksOfOldSecrets(t *testing.T) {
	a, b := long("a"), long("b")
	hmac := func(v string) *pb.HmacSecret { return &pb.HmacSecret{Source: &pb.HmacSecret_Value{Value: v}} }
	s := with(t, catalog.Empty(), pb.Kind_KIND_ISSUER, &pb.Issuer{Id: "two", Issuer: "https://two.test", Keys: &pb.Keys{HmacSecrets: []*pb.HmacSecret{hmac(a), hmac(b)}}})
	m := masks(t, s, "two")
	if again := applied(t, s, shared(m)); again.SetHash() != s.SetHash() {
		t.Error("what was shown, sent back, is a change")
	}
	s = applied(t, s, shared(m, "name: renamed"))
	if got := masks(t, s, "two"); !slices.Equal(got, m) {
		t.Errorf("masks %v became %v", m, got)
	}
	s = applied(t, s, shared(m[1:], "name: renamed"))
	if got := values(lookup[*pb.Issuer](t, s, "issuer/two")); !slices.Equal(got, []string{b}) {
		t.Errorf("secrets %v", got)
	}
}

// An id that is used again does not bring masks back.
func TestMasksOfARemovedResource(t *testing.T) {
	s := applied(t, catalog.Empty(), shared([]string{long("a")}))
	m := masks(t, s, "two")
	s = done(t, s, func(d *rules.Draft) { d.Remove(ref("issuer/two"), false) })
	d := rules.NewDraft(s, now())
	d.Apply(resources(t, shared(m))[0])
	if _, err := d.Finish(); err == nil || !strings.Contains(err.Error(), "not any more") {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsInURLsAreKept(t *testing.T) {
	one, two := "https://a.test/k?api_key=hush1&x=1", "https://b.test/k?api_key=hush2"
	urls := func(list ...string) string {
		return fmt.Sprintf("kind: Issuer\nid: two\nissuer: https://two.test\nkeys: {jwks_urls: ['%s']}", strings.Join(list, "', '"))
	}
	s := applied(t, catalog.Empty(), urls(one, two))
	shown := string(resource.EncodeJSON(lookup[*pb.Issuer](t, s, "issuer/two")))
	if strings.Contains(shown, "hush") || !strings.Contains(shown, "https://a.test/k?api_key=********&x=1") {
		t.Errorf("shown: %s", shown)
	}
	s = applied(t, s, urls("https://b.test/k?api_key=********", "https://c.test/k"))
	if got := lookup[*pb.Issuer](t, s, "issuer/two").GetKeys().GetJwksUrls(); !slices.Equal(got, []string{two, "https://c.test/k"}) {
		t.Errorf("URLs %v", got)
	}
	d := rules.NewDraft(s, now())
	d.Apply(resources(t, urls("https://a.test/k?api_key=********&x=1"))[0])
	if _, err := d.Finish(); err == nil || !strings.Contains(err.Error(), "keys.jwks_urls[0]: has a mask in it") {
		t.Errorf("got %v", err)
	}
}

// TestSpoiledMasksAreNoSecrets: what is nearly a mask would else be the new secret, which
// anybody can guess, and the old one would be lost.
func TestSpoiledMasksAreNoSecrets(t *testing.T) {
	base := applied(t, catalog.Empty(), shared([]string{long("a")}, introspecting("c")))
	m, client := masks(t, base, "two")[0], lookupMask(t, base)
	for _, spoiled := range []string{
		strings.ToUpper(client), client + " ", " " + client, client[:len(client)-1], client + "0", "********-", "********-zz",
		"*********", "******** ", "*******", "*", "********" + client, strings.Replace(client, "-", "_", 1),
	} {
		for name, write := range map[string]func(*rules.Draft, catalog.Resource){"replace": (*rules.Draft).Replace, "apply": (*rules.Draft).Apply} {
			d := rules.NewDraft(base, now())
			write(d, resources(t, shared([]string{m}, introspecting(spoiled)))[0])
			if _, err := d.Finish(); err == nil || !strings.Contains(err.Error(), "introspection.client_secret.value: looks like a mask that answers show instead of a secret, and is none (hint: ") {
				t.Errorf("%s %q: got %v", name, spoiled, err)
			}
		}
	}
	if _, err := rules.FromResources(resources(t, shared([]string{m + m + m})), nil, now()); err == nil || !strings.Contains(err.Error(), "looks like a mask") {
		t.Errorf("in a file: %v", err)
	}
	for _, fine := range []string{"s3cret********", "**s3cret", m[len("********-"):]} {
		d := rules.NewDraft(base, now())
		d.Replace(resources(t, shared([]string{m}, introspecting(fine)))[0])
		if _, err := d.Finish(); err != nil {
			t.Errorf("%q: %v", fine, err)
		}
	}
}

// A node that reads its file again finds the same issuers, whatever the time.
func TestSecretsOfAFileHaveNoNames(t *testing.T) {
	read := func(at time.Time) *pb.Issuer {
		s, err := rules.FromResources(resources(t, shared([]string{long("a")})), nil, at)
		if err != nil {
			t.Fatal(err)
		}
		i := lookup[*pb.Issuer](t, s, "issuer/two")
		catalog.Identify(i, "", nil)
		return i
	}
	if a, b := read(now()), read(now().Add(time.Hour)); !proto.Equal(a, b) {
		t.Errorf("%v became %v", a, b)
	}
}
