package fronttest

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front/fronttest/keypair"
)

func armoured(all ...tls.Certificate) string {
	var b strings.Builder
	for _, c := range all {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	}
	return b.String()
}

// escaped is what nginx makes of PEM, and Envoy: everything but letters, digits and -._~ is %XX.
func escaped(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// escapedByALB leaves + = / as they are, as AWS ALB does.
func escapedByALB(text string) string {
	return strings.NewReplacer("%2B", "+", "%3D", "=", "%2F", "/").Replace(escaped(text))
}

func unarmoured(c tls.Certificate) string { return base64.StdEncoding.EncodeToString(c.Certificate[0]) }

// clientCertForms sends a client's certificate as each proxy writes it. What cannot be
// read never passes for no certificate.
func (s suite) clientCertForms(t *testing.T) {
	alice, bob, issuer := keypair.New(t, "alice"), keypair.New(t, "bob"), keypair.New(t, "issuer")
	const nginx, alb, envoy, traefik = "X-Ssl-Cert", "X-Amzn-Mtls-Clientcert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert"
	cert, chain := `Cert="`+escaped(armoured(alice))+`"`, `Chain="`+escaped(armoured(alice, issuer))+`"`
	by := `By=spiffe://mesh/orders;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;`
	for name, c := range map[string]struct {
		form         front.CertForm
		field, value string
		status, peer string
		chain        int
	}{
		"nginx":                 {front.CertPEM, nginx, escaped(armoured(alice)), "200", "alice", 0},
		"ALB":                   {front.CertPEM, alb, escapedByALB(armoured(alice)), "200", "alice", 0},
		"ALB, with a chain":     {front.CertPEM, alb, escapedByALB(armoured(alice, issuer)), "200", "alice", 1},
		"ALB, the leaf":         {front.CertPEM, alb + "-Leaf", escapedByALB(armoured(alice)), "200", "alice", 0},
		"PEM as a query has it": {front.CertPEM, nginx, url.QueryEscape(armoured(alice)), "400", "", 0},
		"PEM, cut short":        {front.CertPEM, nginx, escaped(armoured(alice))[:300], "400", "", 0},
		"PEM, a broken escape":  {front.CertPEM, nginx, escaped(armoured(alice)) + "%0", "400", "", 0},
		"PEM, a key":            {front.CertPEM, nginx, escaped(strings.ReplaceAll(armoured(alice), "CERTIFICATE", "PRIVATE KEY")), "400", "", 0},
		"PEM, text before":      {front.CertPEM, nginx, escaped("x\n" + armoured(alice)), "400", "", 0},
		"PEM, text behind":      {front.CertPEM, nginx, escaped(armoured(alice) + "x"), "400", "", 0},
		"PEM, the first broken": {front.CertPEM, nginx, escaped("-----BEGIN CERTIFICATE-----\n!\n" + armoured(bob)), "400", "", 0},
		"PEM, with a header":    {front.CertPEM, nginx, escaped(strings.Replace(armoured(alice), "-----\n", "-----\nX: y\n\n", 1)), "400", "", 0},
		"PEM, too long a chain": {front.CertPEM, nginx, escapedByALB(armoured(alice, issuer, issuer, issuer, issuer, issuer, issuer, issuer, issuer, issuer)), "400", "", 0},
		"PEM, empty":            {front.CertPEM, nginx, "", "400", "", 0},
		"PEM, in another form":  {front.CertPEM, nginx, headerText(alice), "400", "", 0},

		"Envoy":                           {front.CertXFCC, envoy, by + cert + `;Subject="CN=alice,O=\"a;b\"";URI=;DNS=a.test;DNS=b.test`, "200", "alice", 0},
		"Envoy, without quotes":           {front.CertXFCC, envoy, strings.ReplaceAll(by+cert, `"`, ""), "200", "alice", 0},
		"Envoy, in other case":            {front.CertXFCC, envoy, strings.Replace(cert, "Cert", "cERT", 1), "200", "alice", 0},
		"Envoy, a chain":                  {front.CertXFCC, envoy, chain, "200", "alice", 1},
		"Envoy, both":                     {front.CertXFCC, envoy, cert + ";" + chain, "200", "alice", 1},
		"Envoy, both, of two":             {front.CertXFCC, envoy, `Cert="` + escaped(armoured(bob)) + `";` + chain, "400", "", 0},
		"Envoy, of several the last":      {front.CertXFCC, envoy, `Cert="` + escaped(armoured(bob)) + `",` + by + cert, "200", "alice", 0},
		"Envoy, a comma in a subject":     {front.CertXFCC, envoy, cert + `;Subject="CN=x,Cert=y"`, "200", "alice", 0},
		"Envoy, quotes that open another": {front.CertXFCC, envoy, `Subject="a\",` + cert, "400", "", 0},
		"Envoy, the last without":         {front.CertXFCC, envoy, cert + "," + by + `Subject="CN=bob"`, "400", "", 0},
		"Envoy, the last empty":           {front.CertXFCC, envoy, cert + ",", "400", "", 0},
		"Envoy, twice in one":             {front.CertXFCC, envoy, cert + ";" + cert, "400", "", 0},
		"Envoy, an empty one":             {front.CertXFCC, envoy, `Cert=""`, "400", "", 0},
		"Envoy, two in Cert":              {front.CertXFCC, envoy, strings.Replace(chain, "Chain", "Cert", 1), "400", "", 0},
		"Envoy, no pair":                  {front.CertXFCC, envoy, cert + ";x", "400", "", 0},
		"Envoy, empty":                    {front.CertXFCC, envoy, "", "400", "", 0},

		"Traefik":                      {front.CertTraefik, traefik, unarmoured(alice), "200", "alice", 0},
		"Traefik, escaped":             {front.CertTraefik, traefik, url.QueryEscape(unarmoured(alice)), "200", "alice", 0},
		"Traefik, with a chain":        {front.CertTraefik, traefik, unarmoured(alice) + "," + unarmoured(issuer), "200", "alice", 1},
		"Traefik, a chain, escaped":    {front.CertTraefik, traefik, url.QueryEscape(unarmoured(alice) + "," + unarmoured(issuer)), "200", "alice", 1},
		"Traefik, an empty element":    {front.CertTraefik, traefik, unarmoured(alice) + ",", "400", "", 0},
		"Traefik, too long a chain":    {front.CertTraefik, traefik, unarmoured(alice) + strings.Repeat(","+unarmoured(issuer), 9), "400", "", 0},
		"Traefik, lines":               {front.CertTraefik, traefik, "%0A" + url.QueryEscape(unarmoured(alice)), "400", "", 0},
		"Traefik, not base64":          {front.CertTraefik, traefik, "!", "400", "", 0},
		"Traefik, empty":               {front.CertTraefik, traefik, "", "400", "", 0},
		"Traefik, armoured":            {front.CertTraefik, traefik, escaped(armoured(alice)), "400", "", 0},
		"a form that nobody knows yet": {"", "Client-Cert", escaped(armoured(alice)), "400", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &sight{}
			n := s.node(t, func(cfg *front.Config) {
				cfg.Decide, cfg.Trusted, cfg.ClientCertHeader, cfg.ClientCertForm = seen.watch(cfg.Decide), loopback, c.field, c.form
			})
			request := "GET /x HTTP/1.1\r\nHost: a\r\n" + c.field + ": " + c.value + "\r\n" + token + end
			for range 2 { // the second from the cache
				answer := n.send(t, request)
				if status(answer) != c.status {
					t.Fatalf("want %s, got\n%s", c.status, answer)
				}
				if got := seen.peer(); got != c.peer || len(seen.last().Chain) != c.chain {
					t.Errorf("peer %q, chain of %d", got, len(seen.last().Chain))
				}
				if strings.Contains(answer, c.field) {
					t.Errorf("it reached the upstream:\n%s", answer)
				}
			}
			twice := strings.Replace(request, token, c.field+": "+c.value+"\r\n"+token, 1)
			if got := status(n.send(t, twice)); got != "400" {
				t.Errorf("twice: %s", got)
			}

			// From anybody else it is no certificate, and the upstream does not get it.
			stranger := &sight{}
			n = s.node(t, func(cfg *front.Config) {
				cfg.Decide, cfg.Trusted, cfg.ClientCertHeader, cfg.ClientCertForm = stranger.watch(cfg.Decide), loopback[1:], c.field, c.form
			})
			if answer := n.send(t, request); status(answer) != "200" || stranger.peer() != "" || strings.Contains(answer, c.field) || stranger.steps(c.field) > 0 {
				t.Errorf("of a stranger: peer %q,\n%s", stranger.peer(), answer)
			}
		})
	}
}
