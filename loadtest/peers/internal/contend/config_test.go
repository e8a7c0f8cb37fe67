package contend

import (
	"os"
	"strings"
	"testing"
)

func TestConfigurations(t *testing.T) {
	plain := settings{Listen: "127.0.0.1:1", Upstream: "127.0.0.1:2"}
	verifying, tls := plain, plain
	verifying.Algorithm, verifying.Issuer, verifying.PublicKey = "RS256", "https://idp.test", "/keys/rs.pub"
	tls.Cert, tls.Key, tls.Pair = "/c.crt", "/c.key", "/c.pem"
	for _, c := range []struct {
		file     string
		s        settings
		has, not []string
	}{
		{"haproxy.cfg", plain, []string{"bind 127.0.0.1:1 ", "server one 127.0.0.1:2", "nbthread 1"}, []string{"jwt", "ssl"}},
		{"haproxy.cfg", verifying, []string{"-m str RS256", "-m str https://idp.test", `jwt_verify(txn.alg,"/keys/rs.pub")`}, []string{"ssl"}},
		{"haproxy.cfg", tls, []string{"ssl crt /c.pem"}, []string{"jwt"}},
		{"nginx.conf", plain, []string{"listen 127.0.0.1:1 ", "server 127.0.0.1:2;", "worker_processes 1;", "access_log off;"}, []string{"ssl"}},
		{"nginx.conf", tls, []string{" ssl;", "ssl_certificate /c.crt;", "ssl_certificate_key /c.key;"}, nil},
	} {
		c.s.Dir = t.TempDir()
		file, err := write(c.file, c.s)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.has {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s: no %q in\n%s", c.file, want, data)
			}
		}
		for _, unwanted := range append(c.not, "<no value>", "{{") {
			if strings.Contains(string(data), unwanted) {
				t.Errorf("%s: %q in\n%s", c.file, unwanted, data)
			}
		}
	}
}
