package compile

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/dpop"
)

// Metadata is what clients learn about an Api without a credential (RFC 9728).
type Metadata struct {
	// URL is where clients find it, for challenges.
	URL string
	// Path is where the gateway serves it, on the hosts of the Api.
	Path string
	// Body is JSON.
	Body []byte
}

// newMetadata describes an Api with its serving plans. The gateway's context path
// stands in its URL for the path of the resource identifier, so that the URL leads
// here even if the two differ.
func newMetadata(definition *pb.Api, serving []*pb.Plan, find func(id string) *pb.Issuer) *Metadata {
	p := definition.GetProtectedResource()
	m := metadata{
		Resource: p.GetResource(), Documentation: p.GetDocumentation(), Name: definition.GetName(), BearerMethods: []string{},
	}
	plans, proven := 0, 0
	for _, plan := range serving {
		settings := tokenSettings(plan)
		if settings == nil {
			continue
		}
		plans++
		m.add(settings, find)
		if settings.GetConfirmation().GetDpop() == pb.Confirmation_REQUIRED {
			proven++
		}
	}
	m.ProofRequired = plans > 0 && plans == proven
	slices.Sort(m.Scopes)
	m.Scopes = slices.Compact(m.Scopes)
	body, err := json.Marshal(m)
	if err != nil {
		panic("BUG: encode the metadata of an Api: " + err.Error()) // strings and booleans
	}
	out := &Metadata{Path: ResourceMetadataPath + strings.TrimSuffix(definition.GetContextPath(), "/"), Body: body}
	if base, err := url.Parse(p.GetResource()); err == nil {
		out.URL = (&url.URL{Scheme: base.Scheme, Host: base.Host, Path: out.Path}).String()
	}
	return out
}

// metadata is the document of RFC 9728 section 2.
type metadata struct {
	Resource             string   `json:"resource"`
	Name                 string   `json:"resource_name,omitempty"`
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Documentation        string   `json:"resource_documentation,omitempty"`
	CertificateBound     bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	ProofAlgorithms      []string `json:"dpop_signing_alg_values_supported,omitempty"`
	ProofRequired        bool     `json:"dpop_bound_access_tokens_required,omitempty"`
}

// add adds what one plan takes tokens by.
func (m *metadata) add(settings *pb.JwtSettings, find func(id string) *pb.Issuer) {
	for _, id := range settings.GetIssuers() {
		// Issuer identifiers are URLs (RFC 8414 section 2); an iss that is none leads nowhere.
		if iss := find(id).GetIssuer(); isURL(iss) && !strings.Contains(iss, placeholder) && !slices.Contains(m.AuthorizationServers, iss) {
			m.AuthorizationServers = append(m.AuthorizationServers, iss)
		}
	}
	m.Scopes = append(append(m.Scopes, settings.GetScopes().GetAll()...), settings.GetScopes().GetAny()...)
	if settings.GetTokenFrom() == "" {
		m.BearerMethods = []string{"header"} // what token_from does has no name in RFC 6750
	}
	if settings.GetConfirmation().GetMtls() != pb.Confirmation_OFF {
		m.CertificateBound = true
	}
	if settings.GetConfirmation().GetDpop() != pb.Confirmation_OFF {
		m.ProofAlgorithms = strings.Fields(dpop.Algorithms)
	}
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
