package route_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/policy/route"
)

type entry = route.Entry[string]

func at(host, path string) entry {
	name := host + path
	return entry{Name: "api/" + name, Host: host, Path: path, Target: &name}
}

func table(t testing.TB, entries ...entry) *route.Table[string] {
	t.Helper()
	tab, err := route.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestMatch(t *testing.T) {
	everything := table(t,
		at("", "/orders"),
		at("", "/orders/v2"),
		at("", "/any-only"),
		at("api.acme.test", "/orders"),
		at("*.acme.test", "/orders"),
		at("*.acme.test", "/wild"),
		at("*.eu.acme.test", "/orders"),
		at("*.eu.acme.test", "/eu"),
		at("root.test", "/"),
		at("root.test", "/deep/er"),
	)
	tests := []struct {
		host, path string
		want       string // target; empty: none
		below      string // what is left of the path
	}{
		{"other.test", "/orders", "/orders", ""},
		{"other.test", "/orders/", "/orders", "/"},
		{"other.test", "/orders/7", "/orders", "/7"},
		{"other.test", "/orders/v2", "/orders/v2", ""},
		{"other.test", "/orders/v2/7", "/orders/v2", "/7"},
		{"other.test", "/orders/v22", "/orders", "/v22"},
		{"other.test", "/orders2", "", ""},
		{"other.test", "/order", "", ""},
		{"other.test", "/", "", ""},
		{"other.test", "", "", ""},
		{"other.test", "/ORDERS", "", ""},
		{"", "/orders", "/orders", ""},

		// Host specificity comes before the length of the path.
		{"api.acme.test", "/orders/v2", "api.acme.test/orders", "/v2"},
		{"x.acme.test", "/orders/v2/7", "*.acme.test/orders", "/v2/7"},
		{"x.eu.acme.test", "/orders", "*.eu.acme.test/orders", ""},
		{"a.b.acme.test", "/orders", "*.acme.test/orders", ""},

		// A host that has nothing for the path lets the next one answer.
		{"api.acme.test", "/wild/x", "*.acme.test/wild", "/x"},
		{"api.acme.test", "/any-only", "/any-only", ""},
		{"x.eu.acme.test", "/wild", "*.acme.test/wild", ""},
		{"x.eu.acme.test", "/any-only/1", "/any-only", "/1"},

		// A wildcard asks for a name before its suffix.
		{"acme.test", "/wild", "", ""},
		{".acme.test", "/wild", "", ""},
		{"xacme.test", "/wild", "", ""},

		{"root.test", "/", "root.test/", "/"},
		{"root.test", "/deep", "root.test/", "/deep"},
		{"root.test", "/deep/er/x", "root.test/deep/er", "/x"},
		{"root.test", "", "root.test/", ""},
	}
	for _, tt := range tests {
		target, rest, ok := everything.Match([]byte(tt.host), []byte(tt.path))
		got, below := "", ""
		if ok {
			got, below = *target, tt.path[rest:]
		}
		if got != tt.want || below != tt.below {
			t.Errorf("Match(%q, %q) = %q below %q, want %q below %q", tt.host, tt.path, got, below, tt.want, tt.below)
		}
	}
}

func TestMatchInEmptyTable(t *testing.T) {
	if target, _, ok := table(t).Match([]byte("a.b"), []byte("/x")); ok || target != nil {
		t.Errorf("got %v", target)
	}
}

func TestNewRefuses(t *testing.T) {
	name := "x"
	tests := []struct {
		name    string
		entries []entry
		want    []string
	}{
		{"same path on every host", []entry{at("", "/a"), {Name: "api/b", Path: "/a", Target: &name}}, []string{"api//a and api/b both serve /a on every host"}},
		{"same root", []entry{at("h.test", "/"), {Name: "api/b", Host: "h.test", Target: &name}}, []string{"api/h.test/ and api/b both serve / on h.test"}},
		{"all conflicts", []entry{at("", "/a"), at("", "/b"), at("", "/a"), at("", "/b")}, []string{"serve /a", "serve /b"}},
		{"upper case host", []entry{at("H.test", "/a")}, []string{"not in lower case"}},
		{"star inside host", []entry{at("a.*.test", "/a")}, []string{"leading *."}},
		{"bare star", []entry{at("*", "/a")}, []string{"leading *."}},
		{"relative path", []entry{at("", "a")}, []string{"context path a is not absolute"}},
		{"trailing slash", []entry{at("", "/a/")}, []string{"context path /a/ is not"}},
		{"no target", []entry{{Name: "api/z", Path: "/z"}}, []string{"api/z: no target"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab, err := route.New(tt.entries)
			if err == nil || tab != nil {
				t.Fatalf("got table %v, error %v", tab, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestConflictNamesBoth(t *testing.T) {
	_, err := route.New([]entry{at("h.test", "/a"), at("h.test", "/a")})
	c, ok := errors.AsType[*route.ConflictError](err)
	if !ok || c.First != "api/h.test/a" || c.Second != "api/h.test/a" || c.Host != "h.test" || c.Path != "/a" {
		t.Errorf("got %#v", err)
	}
}

// FuzzMatch compares with the plainest possible search.
func FuzzMatch(f *testing.F) {
	f.Add("x.acme.test", "/a/b/c")
	f.Add("acme.test", "/a//b")
	f.Add("", "")
	entries := []entry{
		at("", "/"), at("", "/a"), at("", "/a/b"), at("acme.test", "/a"), at("*.acme.test", "/a/b/c"),
		at("*.x.acme.test", "/a"), at("*.test", "/b"),
	}
	tab := table(f, entries...)
	f.Fuzz(func(t *testing.T, host, path string) {
		best, bestRank := "", -1
		for _, e := range entries {
			prefix := strings.TrimSuffix(e.Path, "/")
			if path != prefix && !strings.HasPrefix(path, prefix+"/") {
				continue
			}
			rank := len(prefix)
			switch suffix, wild := strings.CutPrefix(e.Host, "*"); {
			case e.Host == "":
			case wild && len(host) > len(suffix) && strings.HasSuffix(host, suffix):
				rank += 1000 * len(suffix)
			case e.Host == host:
				rank += 1_000_000
			default:
				continue
			}
			if rank > bestRank {
				best, bestRank = *e.Target, rank
			}
		}
		got := ""
		if target, _, ok := tab.Match([]byte(host), []byte(path)); ok {
			got = *target
		}
		if got != best {
			t.Errorf("Match(%q, %q) = %q, want %q", host, path, got, best)
		}
	})
}
