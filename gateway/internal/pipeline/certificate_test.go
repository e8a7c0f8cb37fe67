package pipeline_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// authority signs client certificates.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	a.cert = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Unix(now-1000, 0), NotAfter: time.Unix(now+1_000_000, 0),
	}, a.key)
	return a
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) client(usage ...x509.ExtKeyUsage) *x509.Certificate {
	a.t.Helper()
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: usage,
		NotBefore: time.Unix(now-100, 0), NotAfter: time.Unix(now+100, 0),
	}, newKey(a.t))
}

func (a *authority) pem() string {
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	return "mtls: {ca_pem: \"" + strings.ReplaceAll(text, "\n", "\\n") + "\"}"
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// holder is the application partner, which holds certificates.
func holder(certificates ...string) string {
	return "kind: Application\nid: partner\nname: X\ncertificates: [" + strings.Join(certificates, ", ") + "]"
}

func withCertificate(r *request.Request, c *x509.Certificate) *request.Request {
	r.Certificate = c
	return r
}

func TestMTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	good, server, foreign, unknown, ended := ours.client(x509.ExtKeyUsageClientAuth), ours.client(x509.ExtKeyUsageServerAuth),
		theirs.client(x509.ExtKeyUsageClientAuth), ours.client(), ours.client(x509.ExtKeyUsageClientAuth)
	partner := holder("{id: c1, sha256: "+fingerprint(good)+"}", "{id: c2, sha256: "+fingerprint(foreign)+"}",
		"{id: c3, sha256: "+fingerprint(server)+"}", "{id: c4, sha256: "+fingerprint(ended)+", expires_at: "+date(now)+"}")
	mtls, sub := plan("mtls", "MTLS"), subscribed("partner", "mtls")
	rooted := plan("mtls", "MTLS", ours.pem())
	jwt, free := plan("jwt", "JWT", acme), plan("free", "KEYLESS")
	apiKey := plan("key", "API_KEY")
	stranger := withCertificate(get("/orders", bear(tokenOf("https://acme.test", "stranger"))), good)
	late := func(r *request.Request, seconds int64) *request.Request {
		r.Now += seconds
		return r
	}
	tests := []struct {
		name  string
		world []string
		r     *request.Request
		want  outcome
	}{
		{"good", []string{mtls, sub}, withCertificate(get("/orders"), good), allow("mtls", "partner")},
		{"none", []string{mtls, sub}, get("/orders"), deny(denial.MissingCredentials)},
		{"unknown", []string{mtls, sub}, withCertificate(get("/orders"), unknown), deny(denial.InvalidCertificate)},
		{"registration has expired", []string{mtls, sub}, withCertificate(get("/orders"), ended), deny(denial.InvalidCertificate)},
		{"registration has not expired", []string{mtls, sub}, late(withCertificate(get("/orders"), ended), -1), allow("mtls", "partner")},
		{"last second", []string{mtls, sub}, late(withCertificate(get("/orders"), good), 100), allow("mtls", "partner")},
		{"out of date", []string{mtls, sub}, late(withCertificate(get("/orders"), good), 101), deny(denial.InvalidCertificate)},
		{"not yet", []string{mtls, sub}, late(withCertificate(get("/orders"), good), -101), deny(denial.InvalidCertificate)},
		{"another authority, none asked for", []string{mtls, sub}, withCertificate(get("/orders"), foreign), allow("mtls", "partner")},
		{"another use, none asked for", []string{mtls, sub}, withCertificate(get("/orders"), server), allow("mtls", "partner")},
		{"not subscribed", []string{mtls}, withCertificate(get("/orders"), good), deny(denial.SubscriptionNotFound)},
		{"none needed", []string{plan("mtls", "MTLS", "require_subscription: false")}, withCertificate(get("/orders"), good), allow("mtls", "partner")},
		{"none needed, unknown all the same", []string{plan("mtls", "MTLS", "require_subscription: false")}, withCertificate(get("/orders"), unknown), deny(denial.InvalidCertificate)},

		{"chain", []string{rooted, sub}, withCertificate(get("/orders"), good), allow("mtls", "partner")},
		{"chain to another authority", []string{rooted, sub}, withCertificate(get("/orders"), foreign), deny(denial.InvalidCertificate)},
		{"chain for another use", []string{rooted, sub}, withCertificate(get("/orders"), server), deny(denial.InvalidCertificate)},
		{"chain, but unknown", []string{rooted, sub}, withCertificate(get("/orders"), unknown), deny(denial.InvalidCertificate)},

		{"before the token", []string{mtls, sub, jwt, subscribed("mobile", "jwt")}, withCertificate(get("/orders", bearer()), good), allow("mtls", "partner")},
		{"unknown, with a token", []string{mtls, sub, jwt, subscribed("mobile", "jwt")}, withCertificate(get("/orders", bearer()), unknown), allow("jwt", "mobile")},
		{"unknown, with a bad token", []string{mtls, sub, jwt}, withCertificate(get("/orders", bear("junk")), unknown), deny(denial.InvalidToken)},
		{"unknown, with a key", []string{mtls, sub, apiKey, subscribed("mobile", "key")}, withCertificate(get("/orders", key), unknown), allow("key", "mobile")},
		{"unknown, never keyless", []string{mtls, sub, free}, withCertificate(get("/orders"), unknown), deny(denial.InvalidCertificate)},
		{"good without subscription, never keyless", []string{mtls, free}, withCertificate(get("/orders"), good), deny(denial.SubscriptionNotFound)},
		{"none, keyless", []string{mtls, free}, get("/orders"), allow("free", "")},
		{"one that nobody takes, keyless", []string{free}, withCertificate(get("/orders"), good), allow("free", "")},
		{"rule of its plan not holding", []string{plan("mtls", "MTLS", `selection_rule: "false"`), free}, withCertificate(get("/orders"), good), deny(denial.MissingCredentials)},
		{"certificate lends no subscription to a token", []string{mtls, jwt, subscribed("partner", "jwt")}, stranger, deny(denial.SubscriptionNotFound)},
	}
	for _, tt := range tests {
		w := newWorld(t, append([]string{common, api, partner}, tt.world...)...)
		for range 2 { // the second time from what is remembered
			d := w.expect(tt.name, tt.r, tt.want)
			if d.Plan != nil && d.Plan.ID == "mtls" && (d.Token != nil || d.KeyID == "") {
				t.Errorf("%s: %+v", tt.name, d)
			}
		}
	}

	middle := &authority{t: t, key: newKey(t)}
	middle.cert = ours.sign(&x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "middle"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Unix(now-100, 0), NotAfter: time.Unix(now+50, 0),
	}, middle.key)
	below := middle.client(x509.ExtKeyUsageClientAuth)
	withChain := func() *request.Request {
		r := withCertificate(get("/orders"), below)
		r.Chain = []*x509.Certificate{middle.cert}
		return r
	}
	w := newWorld(t, common, api, rooted, sub, holder("{id: c1, sha256: "+fingerprint(below)+"}"))
	w.expect("an authority in between is missing", withCertificate(get("/orders"), below), deny(denial.InvalidCertificate))
	w.expect("an authority in between", withChain(), allow("mtls", "partner"))
	w.expect("its last second", late(withChain(), 50), allow("mtls", "partner"))
	w.expect("it has ended", late(withChain(), 51), deny(denial.InvalidCertificate))

	w = newWorld(t, common, api, partner, rooted, sub)
	w.expect("before", withCertificate(get("/orders"), good), allow("mtls", "partner"))
	w.expect("a remembered chain ends", late(withCertificate(get("/orders"), good), 101), deny(denial.InvalidCertificate))
	w.fold(holder())
	w.expect("taken away", withCertificate(get("/orders"), good), deny(denial.InvalidCertificate))
	w.fold(partner)
	w.expect("given back", withCertificate(get("/orders"), good), allow("mtls", "partner"))
	w.remove(pb.Kind_KIND_SUBSCRIPTION, "partner-mtls")
	w.expect("subscription is gone", withCertificate(get("/orders"), good), deny(denial.SubscriptionNotFound))
}
