package contend

import (
	"embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed nginx.conf haproxy.cfg
var files embed.FS

// settings are what the templates of nginx and HAProxy ask for.
type settings struct {
	Dir       string // for what the program writes
	Listen    string
	Upstream  string
	Algorithm string // of tokens to verify; empty: none
	Issuer    string
	PublicKey string
	Cert, Key string // files; empty: no TLS
	Pair      string // file with both
}

// write renders a template into the contender's directory and returns the file.
func write(name string, s settings) (string, error) {
	t, err := template.ParseFS(files, name)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := t.Execute(&out, s); err != nil {
		return "", err
	}
	file := filepath.Join(s.Dir, name)
	return file, os.WriteFile(file, []byte(out.String()), 0o600)
}
