package request

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	for _, test := range []struct {
		in, path, query string
		err             error
	}{
		{in: "/", path: "/"},
		{in: "/a/b", path: "/a/b"},
		{in: "/a/", path: "/a/"},
		{in: "/a?b=c&d=%2F?e", path: "/a", query: "b=c&d=%2F?e"},
		{in: "/a?", path: "/a"},
		{in: "//a//b//", path: "/a/b/"},
		{in: "/%61%2D%2e%5f%7E", path: "/a-._~"},
		{in: "/%c3%a4", path: "/%C3%A4"},
		{in: "/a{b}|\"c\"", path: "/a%7Bb%7D%7C%22c%22"},
		{in: "/a%7bb", path: "/a%7Bb"},
		{in: "/a%3ab%40c%3D", path: "/a:b@c="},
		{in: "/a;x=1/b", path: "/a;x=1/b"},
		{in: "/a%3bx", path: "/a%3Bx"},
		{in: "/a+b%2b", path: "/a+b%2B"},
		{in: "/a%20b", path: "/a%20b"},
		{in: "/100%25", path: "/100%25"},
		{in: "/%2541", path: "/%2541"},
		{in: "/.well-known/x", path: "/.well-known/x"},
		{in: "/...", path: "/..."},
		{in: "/..a", path: "/..a"},
		{in: "/a../b", path: "/a../b"},
		{in: "/...;x", path: "/...;x"},
		{in: "", err: ErrTargetForm},
		{in: "a", err: ErrTargetForm},
		{in: "*", err: ErrTargetForm},
		{in: "http://a/", err: ErrTargetForm},
		{in: "/.", err: ErrDotSegment},
		{in: "/..", err: ErrDotSegment},
		{in: "/a/./b", err: ErrDotSegment},
		{in: "/a/../b", err: ErrDotSegment},
		{in: "/a/%2e%2E/b", err: ErrDotSegment},
		{in: "/a/.%2e", err: ErrDotSegment},
		{in: "/a/..;x=1/b", err: ErrDotSegment},
		{in: "/a/.;/b", err: ErrDotSegment},
		{in: "/a//../b", err: ErrDotSegment},
		{in: "/;x/admin", err: ErrDotSegment},
		{in: "/a/;/b", err: ErrDotSegment},
		{in: "/a/;", err: ErrDotSegment},
		{in: "/a//;x=1", err: ErrDotSegment},
		{in: "/a/%3bx/b", err: ErrDotSegment},
		{in: "/a/..%3bx/b", err: ErrDotSegment},
		{in: "/a%2fb", err: ErrEscape},
		{in: "/a%2Fb", err: ErrEscape},
		{in: "/a%5cb", err: ErrEscape},
		{in: "/a%00", err: ErrEscape},
		{in: "/a%0d%0ab", err: ErrEscape},
		{in: "/a%7f", err: ErrEscape},
		{in: "/a%", err: ErrEscape},
		{in: "/a%2", err: ErrEscape},
		{in: "/a%zz", err: ErrEscape},
		{in: "/a%u002e", err: ErrEscape},
		{in: "/%252e%252e/", err: ErrEscape},
		{in: "/%252f", err: ErrEscape},
		{in: "/%25252f", err: ErrEscape},
		{in: "/%c0%ae", err: ErrEscape},
		{in: "/%e0%80%af", err: ErrEscape},
		{in: "/%f0%80%80%af", err: ErrEscape},
		{in: "/a?b=%zz", err: ErrEscape},
		{in: "/a#b", err: ErrCharacter},
		{in: "/a\\b", err: ErrCharacter},
		{in: "/a b", err: ErrCharacter},
		{in: "/a\x00", err: ErrCharacter},
		{in: "/\xc3\xa4", err: ErrCharacter},
		{in: "/a?b#c", err: ErrCharacter},
		{in: "/a?\xff", err: ErrCharacter},
		{in: "/a?b c", err: ErrCharacter},
	} {
		path, query, err := Canonical(nil, []byte(test.in))
		if string(path) != test.path || string(query) != test.query || !errors.Is(err, test.err) {
			t.Errorf("Canonical(%q) = %q, %q, %v; want %q, %q, %v", test.in, path, query, err, test.path, test.query, test.err)
		}
	}
}

func TestCanonicalKeepsEmptyQueryApart(t *testing.T) {
	if _, query, _ := Canonical(nil, []byte("/a")); query != nil {
		t.Error("no query is not nil")
	}
	if _, query, _ := Canonical(nil, []byte("/a?")); query == nil {
		t.Error("an empty query is nil")
	}
}

// FuzzCanonical: the canonical form of a canonical path is itself, and has
// nothing in it that another server could read in another way.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"/", "/a//b/../c", "/%2e%2e;x/", "/%252e", "/a%c0%af?b=%20", "/{}|^`", "/%e0%9f%bf", "/;/;..", "/.%3b/", "/%25%32%65"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		path, query, err := Canonical(make([]byte, 0, 8), in)
		if !bytes.Equal(in, before) {
			t.Fatalf("%q was changed to %q", before, in)
		}
		if err != nil {
			return
		}
		again, _, err := Canonical(nil, path)
		if err != nil || !bytes.Equal(again, path) {
			t.Fatalf("%q became %q, and that %q (%v)", in, path, again, err)
		}
		checkUnambiguous(t, string(path))
		for _, c := range query {
			if c <= ' ' || c >= 0x7f || c == '#' || c == '\\' {
				t.Fatalf("query %q of %q", query, in)
			}
		}
	})
}

func checkUnambiguous(t *testing.T, path string) {
	t.Helper()
	if path[0] != '/' || strings.Contains(path, "//") {
		t.Fatalf("slashes in %q", path)
	}
	for _, bad := range []string{"%2F", "%5C", "%00", "%2E", "%0", "%1", "%7F", "%252F", "%252E", "%255C", "%2500", "%2525", "%C0%A", "%C1%9"} {
		if strings.Contains(strings.ToUpper(path), bad) {
			t.Fatalf("%s in %q", bad, path)
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		segment, _, parameters := strings.Cut(strings.ReplaceAll(segment, "%3B", ";"), ";")
		if segment == "." || segment == ".." || segment == "" && parameters {
			t.Fatalf("a dot segment in %q", path)
		}
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("#?\\\"<>[]^`{|}", c) >= 0 {
			t.Fatalf("%q in %q", c, path)
		}
	}
}

func TestCanonicalHost(t *testing.T) {
	for _, test := range []struct {
		in, host string
		port     uint16
		bad      bool
	}{
		{in: "a", host: "a"},
		{in: "API.Example.com.:8080", host: "api.example.com", port: 8080},
		{in: "a_b-c.d", host: "a_b-c.d"},
		{in: "a:", host: "a"},
		{in: "192.0.2.1:80", host: "192.0.2.1", port: 80},
		{in: "[2001:DB8::1]:443", host: "[2001:db8::1]", port: 443},
		{in: "[::1]", host: "[::1]"},
		{in: "", bad: true},
		{in: ".", bad: true},
		{in: ":80", bad: true},
		{in: "u@a", bad: true},
		{in: "a/b", bad: true},
		{in: "a b", bad: true},
		{in: "a,b", bad: true},
		{in: "a..b", bad: true},
		{in: "a..", bad: true},
		{in: ".a", bad: true},
		{in: "a%2e", bad: true},
		{in: "a:b", bad: true},
		{in: "a:0", bad: true},
		{in: "a:65536", bad: true},
		{in: "a:+80", bad: true},
		{in: "a:1:2", bad: true},
		{in: "::1", bad: true},
		{in: "[::1", bad: true},
		{in: "[::1]x", bad: true},
		{in: "[::g]", bad: true},
		{in: "\xc3\xa4", bad: true},
		{in: strings.Repeat("a", 254), bad: true},
	} {
		host, port, err := CanonicalHost(nil, []byte(test.in))
		if string(host) != test.host || port != test.port || (err != nil) != test.bad {
			t.Errorf("CanonicalHost(%q) = %q, %d, %v", test.in, host, port, err)
		}
	}
}

func TestSplitTarget(t *testing.T) {
	for _, test := range []struct {
		in, scheme, authority, origin string
		bad                           bool
	}{
		{in: "/a?b", origin: "/a?b"},
		{in: "HTTP://A:1/b?c", scheme: "http", authority: "A:1", origin: "/b?c"},
		{in: "https://a", scheme: "https", authority: "a", origin: "/"},
		{in: "http://a?b", scheme: "http", authority: "a", origin: "/?b"},
		{in: "http://a#b", bad: true},
		{in: "ftp://a/", bad: true},
		{in: "a:443", bad: true},
		{in: "*", bad: true},
		{in: "", bad: true},
	} {
		scheme, authority, origin, err := SplitTarget([]byte(test.in))
		if scheme != test.scheme || string(authority) != test.authority || string(origin) != test.origin || (err != nil) != test.bad {
			t.Errorf("SplitTarget(%q) = %q, %q, %q, %v", test.in, scheme, authority, origin, err)
		}
	}
}

func TestSameAuthority(t *testing.T) {
	a, b := []byte("a"), []byte("b")
	if !SameAuthority("http", a, 0, a, 80) || !SameAuthority("https", a, 443, a, 0) {
		t.Error("the scheme's own port makes a difference")
	}
	if SameAuthority("http", a, 0, b, 0) || SameAuthority("http", a, 443, a, 0) {
		t.Error("a difference was overlooked")
	}
}
