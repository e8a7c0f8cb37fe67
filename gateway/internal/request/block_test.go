package request

import (
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/header"
)

func TestBlock(t *testing.T) {
	var b Block
	raw := "Host: a\r\nX-Own:\t 1 \r\nx-own: 2\r\nX_Own: 3\r\nX-EMPTY:\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nKeep-Alive: 1\r\nProxy-Foo: 1\r\nForwarded: x\r\nExpect: y\r\n\r\n"
	if err := b.Parse([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, value string
		count       int
	}{{"X-Own", "1", 2}, {"X-Empty", "", 1}, {"Host", "a", 1}, {"X_own", "", 0}, {"X-None", "", 0}} {
		if value, count := b.Get(test.name); string(value) != test.value || count != test.count {
			t.Errorf("Get(%s) = %q, %d; want %q, %d", test.name, value, count, test.value, test.count)
		}
	}
	for kind, count := range map[Kind]int{Host: 1, ContentLength: 1, TransferEncoding: 1, Connection: 1, HopByHop: 2, Forwarding: 1, Expect: 1, Odd: 1, Plain: 3} {
		if got := b.Count(kind); got != count {
			t.Errorf("Count(%d) = %d, want %d", kind, got, count)
		}
	}
	if err := b.Parse([]byte("A: 1\r\n")); err != nil || b.Count(Host) != 0 || len(b.Lines()) != 1 {
		t.Error("the second Parse still has something of the first")
	}
}

// What a proxy says of a client is not there, unless the proxy is trusted.
func TestForwardingFields(t *testing.T) {
	var b Block
	raw := []byte("X-Forwarded-For: 1\r\nX-SSL-Cert: 2\r\nx-ssl-cert: 3\r\nX-Own: 4\r\n")
	count := func(name string) int { _, n := b.Get(name); return n }
	if err := b.Parse(raw); err != nil || count("X-Forwarded-For") != 0 || count("X-Ssl-Cert") != 2 {
		t.Error("before Trust and Mark")
	}
	b.Mark("X-SSL-Cert")
	if count("X-Ssl-Cert") != 0 || b.Count(Forwarding) != 3 || b.Count(Plain) != 1 {
		t.Errorf("marked fields are found: %v", b.count)
	}
	b.Trust()
	if count("X-Ssl-Cert") != 2 || count("X-Forwarded-For") != 1 {
		t.Error("a trusted proxy's fields are not found")
	}
	if err := b.Parse(raw); err != nil || count("X-Forwarded-For") != 0 {
		t.Error("trust outlives Parse")
	}
}

func TestBlockRefuses(t *testing.T) {
	var b Block
	for _, raw := range []string{"A: 1\n\r\n", "A: 1\r\n B: 2\r\n", "A : 1\r\n", ": 1\r\n", "A\r\n", "A: 1\r\n\r\nB: 2\r\n", "A: 1", "\r\n\r\n", "A B: 1\r\n", "Ä: 1\r\n"} {
		if err := b.Parse([]byte(raw)); err == nil {
			t.Errorf("%q was accepted", raw)
		}
	}
}

func TestClassify(t *testing.T) {
	for kind, names := range map[Kind]string{
		Plain:      "Accept Authorization Cookie Content-Type X-User-Id X-Api-Key X-Forward Te-X Upgrade-Insecure-Requests Hosts Traceparent X- X-Requested-With",
		Reserved:   "X-Request-ID X-Http-Method X-HTTP-Method-Override X-Method-Override X-Original-URL X-Original-Host X-Rewrite-URL X-Envoy-Original-Path X-JWT-Assertion X-Host",
		Forwarding: "X-Forwarded-For x-forwarded-PROTO X-Forwarded X-Real-IP Forwarded X-Client-IP X-Cluster-Client-Ip True-Client-IP CF-Connecting-IP Client-Cert Client-Cert-Chain Front-End-Https",
		HopByHop:   "Keep-Alive TE Trailer Upgrade Proxy-Authorization Proxy-Connection HTTP2-Settings",
	} {
		for name := range strings.FieldsSeq(names) {
			if got := Classify([]byte(name)); got != kind {
				t.Errorf("Classify(%s) = %d, want %d", name, got, kind)
			}
		}
	}
}

func TestAttributes(t *testing.T) {
	r := &Request{
		Method: []byte("GET"), Host: []byte("a"), Path: []byte("/p"), Query: []byte("a=1&b=x+y%21&b=2&%63=3"),
		Header: Fields{{"x-one", "1"}, {"X-Two", "1"}, {"x-TWO", "2"}, {"Cookie", `s="v"; t=1; t=2`}},
	}
	type look func(a *Attributes) (string, bool)
	for name, test := range map[string]struct {
		look      look
		value     string
		found     bool
		ambiguous bool
	}{
		"header":            {func(a *Attributes) (string, bool) { return a.Header("x-one") }, "1", true, false},
		"header twice":      {func(a *Attributes) (string, bool) { return a.Header("x-two") }, "1", true, true},
		"no header":         {func(a *Attributes) (string, bool) { return a.Header("x-three") }, "", false, false},
		"query":             {func(a *Attributes) (string, bool) { return a.Query("a") }, "1", true, false},
		"query twice":       {func(a *Attributes) (string, bool) { return a.Query("b") }, "x y!", true, true},
		"query encoded":     {func(a *Attributes) (string, bool) { return a.Query("c") }, "3", true, false},
		"cookie":            {func(a *Attributes) (string, bool) { return a.Cookie("s") }, "v", true, false},
		"cookie twice":      {func(a *Attributes) (string, bool) { return a.Cookie("t") }, "1", true, true},
		"no cookie":         {func(a *Attributes) (string, bool) { return a.Cookie("u") }, "", false, false},
		"address not known": {func(a *Attributes) (string, bool) { return a.ClientIP(), false }, "", false, false},
	} {
		a := r.Attributes()
		if value, found := test.look(a); value != test.value || found != test.found || a.Ambiguous() != test.ambiguous {
			t.Errorf("%s: %q, %v, ambiguous %v", name, value, found, a.Ambiguous())
		}
	}
}

func TestAppendWithout(t *testing.T) {
	for _, test := range []struct {
		list      string
		separator byte
		want      string
	}{
		{"k=1", '&', ""},
		{"a=1&k=2&b&k", '&', "a=1&b"},
		{"%6b=1&kk=2", '&', "kk=2"},
		{"k=1", ';', ""},
		{"a=1; k=2;b=3", ';', "a=1; b=3"},
		{" k = 1 ;; a", ';', "a"},
	} {
		if got := AppendWithout([]byte("?"), []byte(test.list), test.separator, "k"); string(got) != "?"+test.want {
			t.Errorf("%q without k: %q, want %q", test.list, got, test.want)
		}
	}
}

func TestCanonicalName(t *testing.T) {
	for in, want := range map[string]string{"x-api-key": "X-Api-Key", "X-API-KEY": "X-Api-Key", "X-Api-Key": "X-Api-Key", "te": "Te", "": ""} {
		if got := header.Canonical(in); got != want {
			t.Errorf("header.Canonical(%q) = %q", in, got)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	var b Block
	raw := []byte("Host: Api.Example\r\nAuthorization: Bearer x\r\nAccept: */*\r\n\r\n")
	target, encoded := []byte("/orders/1?x=1"), []byte("/orders//%61")
	dst := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		_ = b.Parse(raw)
		_, _ = b.Get("Authorization")
		_, _, _ = CanonicalHost(dst, b.First(Host))
		_, _, _ = Canonical(dst, target)
		_, _, _ = Canonical(dst, encoded)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
