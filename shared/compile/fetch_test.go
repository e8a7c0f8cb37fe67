package compile_test

import (
	"strings"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// keyServer changes how keys are fetched.
func keyServer(change func(*pb.JwksSettings)) func(*pb.Issuer) {
	return func(m *pb.Issuer) {
		m.Keys.JwksUrls, m.Jwks = []string{"https://idp.test/jwks"}, &pb.JwksSettings{}
		change(m.Jwks)
	}
}

// Faults of where keys come from, and how they are asked for.
func TestFetchFaults(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*pb.Issuer)
		want   string // the beginning of the one fault; empty: none
	}{
		"metadata without discovery":  {func(m *pb.Issuer) { m.Metadata = pb.Issuer_OAUTH }, "metadata: nobody looks"},
		"their URL without discovery": {func(m *pb.Issuer) { m.MetadataUrl = "https://idp.test/x" }, "metadata_url: nobody looks"},
		"metadata of both kinds": {func(m *pb.Issuer) {
			m.Discovery, m.MetadataUrl, m.Metadata = true, "https://idp.test/x", pb.Issuer_OAUTH
		}, "metadata: metadata_url says"},
		"metadata in plain text":     {func(m *pb.Issuer) { m.Discovery, m.MetadataUrl = true, "http://idp.test/x" }, "metadata_url: is not an https URL"},
		"metadata at no URL":         {func(m *pb.Issuer) { m.Discovery, m.MetadataUrl = true, "idp.test/x" }, "metadata_url: "},
		"a token for a key server":   {keyServer(func(j *pb.JwksSettings) { j.BearerToken = secret("t") }), ""},
		"a token of blanks":          {keyServer(func(j *pb.JwksSettings) { j.BearerToken = secret("a b") }), "jwks.bearer_token: has a character"},
		"a token from nowhere":       {keyServer(func(j *pb.JwksSettings) { j.BearerToken = &pb.Secret{} }), "jwks.bearer_token: one of value"},
		"a token in a file":          {keyServer(func(j *pb.JwksSettings) { j.BearerToken = &pb.Secret{Source: &pb.Secret_File{File: "/t"}} }), ""},
		"a token without key server": {func(m *pb.Issuer) { m.Jwks = &pb.JwksSettings{BearerToken: secret("t")} }, "jwks: there is no key server"},
		"a token in plain text": {func(m *pb.Issuer) {
			m.Keys.JwksUrls, m.Jwks = []string{"http://idp.test"}, &pb.JwksSettings{BearerToken: secret("t")}
		}, "keys.jwks_urls[0]: is not an https URL"},
		"a token for plain discovery": {func(m *pb.Issuer) {
			m.Issuer, m.Discovery, m.Jwks = "http://idp.test", true, &pb.JwksSettings{BearerToken: secret("t")}
		}, "issuer: is not an https URL"},
		"a certificate without key": {keyServer(func(j *pb.JwksSettings) { j.ClientCertPem = "x" }), "jwks.client_key: is needed"},
		"a key without certificate": {keyServer(func(j *pb.JwksSettings) { j.ClientKey = secret("x") }), "jwks.client_cert_pem: is needed"},
		"a certificate that is none": {keyServer(func(j *pb.JwksSettings) {
			j.ClientCertPem, j.ClientKey = "x", &pb.Secret{Source: &pb.Secret_Env{Env: "KEY"}}
		}), "jwks.client_cert_pem: "},
	} {
		compiled, faults := compile.NewIssuer(issuer(c.change), nil, keyset.Secrets{})
		if c.want == "" {
			if len(faults) > 0 || compiled == nil {
				t.Errorf("%s: %v", name, faults)
			}
			continue
		}
		if compiled != nil || len(faults) != 1 || !strings.HasPrefix(faults.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, faults, c.want)
		}
	}
}
