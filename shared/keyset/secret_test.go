package keyset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that never ends, or never begins, must not stop a process.
func TestReadRegular(t *testing.T) {
	dir := t.TempDir()
	secret, large := filepath.Join(dir, "secret"), filepath.Join(dir, "large")
	for path, size := range map[string]int{secret: 32, large: maxSecretFile + 1} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := ReadRegular(secret); err != nil || len(text) != 32 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	for path, want := range map[string]string{
		dir: "is not a regular file", large: "more than", filepath.Join(dir, "none"): "none", os.DevNull: "is not a regular file",
	} {
		if _, err := ReadRegular(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
