package front

import (
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front/fronttest/keypair"
)

// FuzzCertForms: what clients may write into a field, because a proxy appends to it or
// passes it on, is read or refused; and whatever came before what the proxy next to us
// has written does not change whose certificate it is.
func FuzzCertForms(f *testing.F) {
	alice := keypair.New(f, "alice").Certificate[0]
	armoured := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: alice})))
	element := `By=spiffe://a;Cert="` + armoured + `"`
	for _, seed := range []string{
		"", ",", `"`, `\`, "%", ":", "::", element, armoured, `Chain="` + armoured + `"`, `Subject="\",Cert=x"`, ":" + base64.StdEncoding.EncodeToString(alice) + ":",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, form := range []CertForm{CertRFC9440, CertPEM, CertXFCC, CertTraefik} {
			if all, err := form.read(text); err == nil && (len(all) == 0 || len(all) > maxChain+1 || all[0] == nil) {
				t.Errorf("%s: %d certificates", form, len(all))
			}
		}
		all, err := CertXFCC.read(text + "," + element)
		if err == nil && (len(all) != 1 || string(all[0].Raw) != string(alice)) {
			t.Error("what came before decides")
		}
	})
}
