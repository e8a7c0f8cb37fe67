package tools_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestPlacesExist: ARCHITECTURE.md names places as `path/file.go Function`, which
// must be there.
func TestPlacesExist(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	places := regexp.MustCompile("`([a-z][\\w/.-]*\\.go) (\\w+)`").FindAllStringSubmatch(string(text), -1)
	if len(places) < 30 {
		t.Errorf("%d places: the walks are not found", len(places))
	}
	for _, p := range places {
		source, err := os.ReadFile(filepath.Join(root, p[1]))
		if err != nil {
			t.Errorf("%s: %v", p[0], err)
			continue
		}
		function := regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + p[2] + `[(\[]`)
		if !function.Match(source) {
			t.Errorf("%s has no function %s", p[1], p[2])
		}
	}
}
