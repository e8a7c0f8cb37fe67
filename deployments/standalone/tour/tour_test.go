package tour_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPrinted: the curl lines that the standalone prints answer 200 and 401.
func TestPrinted(t *testing.T) {
	s := start(t)
	sh := newShell(t)
	var got []string
	for _, line := range s.curlLines() {
		stmt := parse(t, line)[0]
		stmt.Stmt = parse(t, stmt.text+` -s -o /dev/null -w '%{http_code}'`)[0].Stmt
		out, err := sh.run(t.Context(), stmt)
		if err != nil {
			t.Errorf("%s\n%v: %s", line, err, out)
		}
		got = append(got, status(out))
	}
	if want := []string{"200", "401"}; !slices.Equal(got, want) {
		t.Errorf("the printed curl lines answer %v, want %v", got, want)
	}
}

// curlLines returns the commands among what was printed.
func (s *standalone) curlLines() []string {
	var lines []string
	for _, line := range s.printed {
		if i := strings.Index(line, "curl "); i >= 0 {
			lines = append(lines, line[i:])
		}
	}
	return lines
}

// TestTour runs the ```sh blocks of the README's section whose heading speaks of
// a tour, in order and in one shell. A command that is followed by a comment with
// a status (`# 200`, `# → 403`) must print it: with curl -i, or -w '%{http_code}'.
// The one command that starts the standalone is left out: that has happened.
func TestTour(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := tour(string(readme))
	if len(blocks) == 0 {
		t.Fatal("README.md has no section with `tour` in its heading and ```sh blocks in it")
	}
	s := start(t)
	// The client verbs know the default address.
	sh := newShell(t, "PORTCULLIS_CONTROL=http://"+s.moved["127.0.0.1:8081"])
	promised := map[string]bool{}
	for _, block := range blocks {
		for _, stmt := range parse(t, s.here(block)) {
			if strings.Contains(stmt.text, "go run ./deployments/standalone") {
				continue
			}
			out, err := sh.run(t.Context(), stmt)
			if err != nil {
				t.Fatalf("%s\n%v\n%s", stmt.text, err, out)
			}
			if stmt.status != "" && status(out) != stmt.status {
				t.Fatalf("%s\nprinted:\n%s\nwant status %s", stmt.text, out, stmt.status)
			}
			promised[stmt.status] = true
		}
	}
	for _, want := range []string{"200", "401", "403"} {
		if !promised[want] {
			t.Errorf("the tour shows no %s: a command that answers it is followed by `# %s`", want, want)
		}
	}
}

var (
	heading = regexp.MustCompile(`^(#+) (.*)$`)
	fence   = regexp.MustCompile("^```(\\w*)\\s*$")
)

// tour returns the shell blocks of the first section about a tour, subsections included.
func tour(readme string) []string {
	var blocks []string
	level, inBlock := 0, ""
	for line := range strings.Lines(readme) {
		line = strings.TrimRight(line, "\r\n")
		f, h := fence.FindStringSubmatch(line), heading.FindStringSubmatch(line)
		switch {
		case f != nil && inBlock != "":
			inBlock = ""
		case f != nil:
			if inBlock = "other"; level > 0 && f[1] == "sh" {
				inBlock = "sh"
				blocks = append(blocks, "")
			}
		case inBlock == "sh":
			blocks[len(blocks)-1] += line + "\n"
		case inBlock == "" && h != nil && level > 0 && len(h[1]) <= level:
			return blocks
		case inBlock == "" && h != nil && level == 0 && strings.Contains(strings.ToLower(h[2]), "tour"):
			level = len(h[1])
		}
	}
	return blocks
}
