// Package discovery says where a provider keeps the document about itself, and in
// what order to look. It makes no request: shared/jwks and shared/introspect do.
package discovery

import (
	"net/url"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

const (
	openID = "/.well-known/openid-configuration"
	oauth  = "/.well-known/oauth-authorization-server"
)

// URLs are the addresses of an issuer's metadata in the order in which they are
// tried. The next one is only for a server that does not have the one before: not
// for one that is away, or whose document is another issuer's.
func URLs(i *pb.Issuer) []string {
	if at := i.GetMetadataUrl(); at != "" {
		return []string{at}
	}
	switch i.GetMetadata() {
	case pb.Issuer_OPENID:
		return []string{appended(i.GetIssuer())}
	case pb.Issuer_OAUTH:
		return []string{inserted(i.GetIssuer())}
	default:
		return []string{appended(i.GetIssuer()), inserted(i.GetIssuer())}
	}
}

// appended is OpenID Connect Discovery 1.0 section 4.
func appended(issuer string) string { return strings.TrimSuffix(issuer, "/") + openID }

// inserted is RFC 8414 section 3.1: between the host and the issuer's path.
func inserted(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return strings.TrimSuffix(issuer, "/") + oauth // no URL either way; the fetch says so
	}
	return u.Scheme + "://" + u.Host + oauth + strings.TrimSuffix(u.EscapedPath(), "/")
}
