package authn_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
)

func TestBinding(t *testing.T) {
	cert := &x509.Certificate{Raw: []byte("certificate")}
	sum := sha256.Sum256(cert.Raw)
	hash := base64.RawURLEncoding.EncodeToString(sum[:])
	loose := hash[:42] + string(hash[42]+1) // the same bytes to a decoder that is not strict
	if data, err := base64.RawURLEncoding.DecodeString(loose); err != nil || string(data) != string(sum[:]) {
		t.Fatalf("the test's own hash is wrong: %v", err)
	}
	for _, tt := range []struct {
		cnf         any
		good        bool
		key         string
		certificate bool
	}{
		{object{"x5t#S256": hash}, true, "", true},
		{object{"jkt": hash}, true, hash, false},
		{object{"x5t#S256": hash, "jkt": hash, "kid": "x"}, true, hash, true},
		{nil, true, "", false}, // absent
		{object{"x5t#S256": loose}, false, "", false},
		{object{"jkt": loose}, false, "", false},
		{object{"x5t#S256": hash + "="}, false, "", false},
		{object{"x5t#S256": hash[:42]}, false, "", false},
		{object{"x5t#S256": hash[:42] + "\n"}, false, "", false},
		{object{"x5t#S256": strings.Repeat("+", 43)}, false, "", false},
		{object{"x5t#S256": nil}, false, "", false},
		{object{"x5t#S256": hash, "jkt": 1}, false, "", false},
		{object{"x5t": hash}, false, "", false},
		{object{"kid": "x"}, false, "", false},
		{object{}, false, "", false},
		{[]any{hash}, false, "", false},
		{hash, false, "", false},
	} {
		token, failure := authn.New(authn.Config{}).Explain(ring(t), first().sign(t, nil, claims(object{"cnf": tt.cnf})), now)
		if !tt.good {
			if failure.Denial == nil || !strings.HasPrefix(failure.Reason, "cnf ") {
				t.Errorf("%v: %+v", tt.cnf, failure)
			}
			continue
		}
		if failure.Denial != nil {
			t.Errorf("%v: %+v", tt.cnf, failure)
			continue
		}
		b := &token.Binding
		other := &x509.Certificate{Raw: []byte("another")}
		if b.Key != tt.key || b.ByCertificate != tt.certificate || b.Bound() != (tt.certificate || tt.key != "") ||
			b.Matches(cert) != tt.certificate || b.Matches(other) || b.Matches(nil) {
			t.Errorf("%v: %+v", tt.cnf, b)
		}
	}
}
