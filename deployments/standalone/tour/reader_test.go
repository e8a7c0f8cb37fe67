package tour_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// What reads the README is tested too: a reader that finds nothing passes always.

func TestTourBlocks(t *testing.T) {
	const readme = "# P\n```sh\nno\n```\n## A five-minute tour\ntext\n```sh\necho a\n# echo\n```\n```yaml\n## not a heading\n```\n" +
		"### More\n```sh\necho b\n```\n## After\n```sh\nno\n```\n"
	if got, want := tour(readme), []string{"echo a\n# echo\n", "echo b\n"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStatementsAndPromises(t *testing.T) {
	const block = "# first: 200 of them\nTOKEN=x # 2 things\ncurl -i \\\n  http://a # 401\ncurl b | cat # → 403 subscription_inactive\n# 500\n"
	var got []string
	for _, s := range parse(t, block) {
		got = append(got, strings.SplitN(s.text, " ", 2)[0]+":"+s.status)
	}
	if want := []string{"TOKEN=x:", "curl:401", "curl:403"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStatus(t *testing.T) {
	for output, want := range map[string]string{
		"HTTP/1.1 401 Unauthorized\r\nContent-Length: 404\r\n\r\n{}": "401",
		"200":               "200",
		"200\n":             "200",
		"{\"a\":200}":       "",
		"{\"a\": 1}\n403\n": "403",
		"HTTP/1.1 302 Found\r\n\r\nHTTP/1.1 200 OK\r\n\r\n": "200",
		"": "",
	} {
		if got := status(output); got != want {
			t.Errorf("status(%q) = %q, want %q", output, got, want)
		}
	}
}

func TestHere(t *testing.T) {
	s := &standalone{dataDir: "/tmp/x", moved: map[string]string{"127.0.0.1:8080": "127.0.0.1:1234"}}
	for text, want := range map[string]string{
		"$(cat data/admin-token)":                "$(cat /tmp/x/admin-token)",
		"< ./data/a 'data/b'":                    "< /tmp/x/a '/tmp/x/b'",
		"loadtest/data/a mydata/b http://data":   "loadtest/data/a mydata/b http://data",
		"http://localhost:8080/a 127.0.0.1:8080": "http://127.0.0.1:1234/a 127.0.0.1:1234",
	} {
		if got := s.here(text); got != want {
			t.Errorf("here(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestShellKeepsVariables(t *testing.T) {
	sh := newShell(t)
	all := parse(t, "A=$(printf 'b c')\necho \"<$A>\"")
	if _, err := sh.run(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	if out, err := sh.run(t.Context(), all[1]); err != nil || out != "<b c>\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err := sh.run(t.Context(), parse(t, "false")[0]); err == nil {
		t.Error("a failing command is no failure")
	}
}

// TestCurl: the stand-in answers as curl does.
func TestCurl(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.Method+" "+r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("no"))
	}))
	defer srv.Close()
	var out bytes.Buffer
	if err := curl(t.Context(), []string{"-s", "-i", srv.URL, "-H", "Authorization: Bearer x", "-X", "PUT"}, &out); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); status(s) != "403" || !strings.Contains(s, "X-Seen: PUT Bearer x\r\n") || !strings.HasSuffix(s, "\r\n\r\nno") {
		t.Errorf("got %q", s)
	}
	out.Reset()
	if err := curl(t.Context(), []string{"-so", "/dev/null", "-w", `%{http_code}\n`, "-d", "{}", srv.URL}, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "403\n" {
		t.Errorf("got %q", got)
	}
	if err := curl(t.Context(), []string{"--unknown", srv.URL}, &out); err == nil {
		t.Error("an unknown option is taken")
	}
}
