package compile

import "strings"

// Paths that gateways answer themselves on every host, so that no Api may have its
// context path there.
const (
	// ResourceMetadataPath begins the paths of metadata of protected resources (RFC 9728 section 3).
	ResourceMetadataPath = "/.well-known/oauth-protected-resource"
	// GatewayPath begins the paths of what gateways publish of themselves.
	GatewayPath = "/.well-known/portcullis"
)

func reservedPath(path string) bool {
	for _, p := range []string{ResourceMetadataPath, GatewayPath} {
		if rest, ok := strings.CutPrefix(path, p); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// ClaimNamespace begins the names of the claims by which gateways tell upstreams
// what no RFC has a claim for.
const ClaimNamespace = "urn:portcullis:"

// ReservedClaim reports whether a claim of signed_jwt is the gateway's to set, so
// that it cannot be taken over from a token.
func ReservedClaim(name string) bool {
	switch name {
	case "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id":
		return true
	}
	return strings.HasPrefix(name, ClaimNamespace)
}
