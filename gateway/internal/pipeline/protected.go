package pipeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/portcullis-gateway/portcullis/gateway/internal/route"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/dpop"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// metadata is what clients learn about an Api (RFC 9728 section 2).
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

// describe makes the metadata of an Api from its serving plans, and the URL at
// which clients find it. The gateway's context path stands in it for the path of
// the resource identifier, so that the URL leads here even if the two differ.
func describe(definition *pb.Api, serving []*pb.Plan, state *catalog.State) (page *Page, at string, err error) {
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
		m.add(settings, state)
		if settings.GetConfirmation().GetDpop() == pb.Confirmation_REQUIRED {
			proven++
		}
	}
	m.ProofRequired = plans > 0 && plans == proven
	slices.Sort(m.Scopes)
	m.Scopes = slices.Compact(m.Scopes)
	body, err := json.Marshal(m)
	if err != nil {
		return nil, "", fmt.Errorf("protected_resource: %w", err)
	}
	base, err := url.Parse(p.GetResource())
	if err != nil {
		return nil, "", fmt.Errorf("protected_resource.resource: %w", err)
	}
	at = (&url.URL{Scheme: base.Scheme, Host: base.Host, Path: wellKnown(definition)}).String()
	return &Page{ContentType: "application/json", Body: body}, at, nil
}

// add adds what one plan takes tokens by.
func (m *metadata) add(settings *pb.JwtSettings, state *catalog.State) {
	for _, id := range settings.GetIssuers() {
		issuer, ok := catalog.Lookup[*pb.Issuer](state, pb.Kind_KIND_ISSUER, id)
		// Issuer identifiers are URLs (RFC 8414 section 2); an iss that is none leads nowhere.
		if iss := issuer.GetIssuer(); ok && isURL(iss) && !slices.Contains(m.AuthorizationServers, iss) {
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

// tokenSettings are the rules for tokens of a plan; nil: it takes none.
func tokenSettings(p *pb.Plan) *pb.JwtSettings {
	switch p.GetSecurity() {
	case pb.Plan_JWT:
		return cmp.Or(p.GetJwt(), &pb.JwtSettings{})
	case pb.Plan_OAUTH2:
		return cmp.Or(p.GetOauth2(), &pb.JwtSettings{})
	default:
		return nil
	}
}

// wellKnown is where an Api's metadata is: before its path stands the well-known one.
func wellKnown(definition *pb.Api) string {
	return rules.ResourceMetadataPath + strings.TrimSuffix(definition.GetContextPath(), "/")
}

// MetadataEntries are the places in the routes at which a deployment's metadata
// is served; none if it has none. An Api of the user's at such a place is stronger.
func MetadataEntries(d *pb.Deployment, api *Api) []route.Entry[Api] {
	if api.described == nil {
		return nil
	}
	entries := Entries(d, api.described)
	for i := range entries {
		entries[i].Name, entries[i].Path = "metadata of "+entries[i].Name, wellKnown(d.GetApi())
	}
	return entries
}
