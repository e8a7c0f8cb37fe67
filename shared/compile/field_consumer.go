package compile

import (
	"fmt"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Rules of what stands on the consumers' side: applications, subscriptions, revocations.

func (c *checker) application(m *pb.Application) {
	c.text("name", m.GetName(), false)
	c.text("owner", m.GetOwner(), false)
	c.text("description", m.GetDescription(), false)
	c.list("clients", len(m.GetClients()))
	seen := map[string]bool{}
	for i, cl := range m.GetClients() {
		field := fmt.Sprintf("clients[%d]", i)
		c.text(field+".issuer", cl.GetIssuer(), true)
		c.text(field+".client_id", cl.GetClientId(), true)
		key := cl.GetIssuer() + "\x00" + cl.GetClientId()
		if seen[key] {
			c.twice(field+".client_id", "%q is written twice", cl.GetClientId())
		}
		seen[key] = true
	}
	c.list("api_keys", len(m.GetApiKeys()))
	for i, k := range m.GetApiKeys() {
		field := fmt.Sprintf("api_keys[%d]", i)
		if !ValidID(k.GetId()) {
			c.bad(field+".id", "%.140q is not an id", k.GetId())
		}
		k.Sha256 = strings.ToLower(k.GetSha256())
		if _, ok := catalog.ParseSHA256(k.GetSha256()); !ok {
			c.hint(field+".sha256", "printf %s \"$KEY\" | sha256sum", "is not 64 hexadecimal digits")
		}
		if seen["id "+k.GetId()] || seen["sha "+k.GetSha256()] {
			c.twice(field, "is written twice")
		}
		seen["id "+k.GetId()], seen["sha "+k.GetSha256()] = true, true
		c.time(field+".expires_at", k.GetExpiresAt())
	}
	c.certificates(m)
}

func (c *checker) certificates(m *pb.Application) {
	c.list("certificates", len(m.GetCertificates()))
	seen := map[string]bool{}
	for i, cert := range m.GetCertificates() {
		field := fmt.Sprintf("certificates[%d]", i)
		if !ValidID(cert.GetId()) {
			c.bad(field+".id", "%.140q is not an id", cert.GetId())
		}
		// As openssl prints it: colons and capitals.
		cert.Sha256 = strings.ToLower(strings.ReplaceAll(cert.GetSha256(), ":", ""))
		if _, ok := catalog.ParseSHA256(cert.GetSha256()); !ok {
			c.hint(field+".sha256", "openssl x509 -in cert.pem -noout -fingerprint -sha256", "is not 64 hexadecimal digits")
		}
		if seen["id "+cert.GetId()] || seen["sha "+cert.GetSha256()] {
			c.twice(field, "is written twice")
		}
		seen["id "+cert.GetId()], seen["sha "+cert.GetSha256()] = true, true
		c.time(field+".expires_at", cert.GetExpiresAt())
	}
}

func (c *checker) subscription(m *pb.Subscription) {
	c.text("application", m.GetApplication(), true)
	c.text("plan", m.GetPlan(), true)
	c.time("starts_at", m.GetStartsAt())
	c.time("ends_at", m.GetEndsAt())
	if s, e := m.GetStartsAt(), m.GetEndsAt(); s != nil && e != nil && !s.AsTime().Before(e.AsTime()) {
		c.bad("ends_at", "is not after starts_at")
	}
}

func (c *checker) revocation(m *pb.Revocation) {
	switch t := m.GetTarget().(type) {
	case nil:
		c.bad("", "names nothing: one of jti, token_sha256, client_id and subject is needed")
	case *pb.Revocation_Jti:
		c.text("jti", t.Jti, true)
	case *pb.Revocation_TokenSha256:
		t.TokenSha256 = strings.ToLower(t.TokenSha256)
		if _, ok := catalog.ParseSHA256(t.TokenSha256); !ok {
			c.bad("token_sha256", "is not 64 hexadecimal digits")
		}
	case *pb.Revocation_ClientId:
		c.text("client_id", t.ClientId, true)
	case *pb.Revocation_Subject:
		c.text("subject", t.Subject, true)
	}
	if m.GetIssuer() == "" && m.GetTokenSha256() == "" && m.GetTarget() != nil {
		c.bad("issuer", "is required with jti, client_id and subject")
	}
	if m.GetIssuedBefore() != nil && m.GetClientId() == "" && m.GetSubject() == "" {
		c.bad("issued_before", "goes with client_id or subject only")
	}
	c.time("issued_before", m.GetIssuedBefore())
	c.time("expires_at", m.GetExpiresAt())
	c.text("reason", m.GetReason(), false)
}
