package jwks

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/discovery"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// auth is how the fetcher says who it is. The zero auth: not at all.
type auth struct {
	bearer  *pb.Secret
	certPEM string
	key     *pb.Secret
	secrets keyset.Secrets
}

// authOf returns what an issuer's settings say for a URL. Only hosts that are written
// in the settings get it: what the provider's metadata point to may be anybody's.
func authOf(issuer *pb.Issuer, address string, secrets keyset.Secrets) auth {
	settings := issuer.GetJwks()
	if settings.GetBearerToken() == nil && settings.GetClientKey() == nil || !written(issuer, address) {
		return auth{}
	}
	return auth{settings.GetBearerToken(), settings.GetClientCertPem(), settings.GetClientKey(), secrets}
}

func written(issuer *pb.Issuer, address string) bool {
	to, err := url.Parse(address)
	if err != nil || to.Scheme != "https" {
		return false
	}
	known := issuer.GetKeys().GetJwksUrls()
	if issuer.GetDiscovery() {
		known = append(slices.Clone(known), discovery.URLs(issuer)...)
	}
	return slices.ContainsFunc(known, func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && u.Scheme == "https" && u.Host == to.Host
	})
}

// id tells auths apart that are not the same.
func (a *auth) id() string {
	if a.bearer == nil && a.key == nil {
		return ""
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.JwksSettings{BearerToken: a.bearer, ClientCertPem: a.certPEM, ClientKey: a.key})
	if err != nil {
		panic("BUG: encode settings: " + err.Error())
	}
	return string(text)
}

// sign adds the bearer token, which is read anew each time: tokens of service
// accounts are exchanged in their file.
func (a *auth) sign(request *http.Request) error {
	if a.bearer == nil {
		return nil
	}
	token, err := keyset.ReadSecret(a.bearer, a.secrets)
	if err == nil && token == "" {
		err = errors.New("this process reads no such secrets")
	}
	if err != nil {
		return failed(NoSecret, "jwks.bearer_token: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// certificate is the client certificate for one handshake; nil: none is configured.
func (a *auth) certificate() (*tls.Certificate, error) {
	key, err := keyset.ReadSecret(a.key, a.secrets)
	if err != nil {
		return nil, failed(NoSecret, "jwks.client_key: %w", err)
	}
	pair, err := tls.X509KeyPair([]byte(a.certPEM), []byte(key))
	if err != nil {
		return nil, failed(NoSecret, "jwks.client_key: %w", fmt.Errorf("it does not go with client_cert_pem: %w", err))
	}
	return &pair, nil
}
