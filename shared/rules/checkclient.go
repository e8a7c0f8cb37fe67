package rules

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Rules of what stands on the consumers' side: applications, subscriptions, revocations.

func (c checker) application(m *pb.Application) {
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
			c.d.problem(c.ref, field+".client_id", Conflict, fmt.Sprintf("%q is written twice", cl.GetClientId()), "")
		}
		seen[key] = true
	}
	c.list("api_keys", len(m.GetApiKeys()))
	for i, k := range m.GetApiKeys() {
		field := fmt.Sprintf("api_keys[%d]", i)
		if !validID(k.GetId()) {
			c.bad(field+".id", "%.140q is not an id", k.GetId())
		}
		k.Sha256 = strings.ToLower(k.GetSha256())
		if _, ok := catalog.ParseSHA256(k.GetSha256()); !ok {
			c.hint(field+".sha256", "printf %s \"$KEY\" | sha256sum", "is not 64 hexadecimal digits")
		}
		if seen["id "+k.GetId()] || seen["sha "+k.GetSha256()] {
			c.d.problem(c.ref, field, Conflict, "is written twice", "")
		}
		seen["id "+k.GetId()], seen["sha "+k.GetSha256()] = true, true
		c.time(field+".expires_at", k.GetExpiresAt())
	}
	c.certificates(m)
}

func (c checker) certificates(m *pb.Application) {
	c.list("certificates", len(m.GetCertificates()))
	seen := map[string]bool{}
	for i, cert := range m.GetCertificates() {
		field := fmt.Sprintf("certificates[%d]", i)
		if !validID(cert.GetId()) {
			c.bad(field+".id", "%.140q is not an id", cert.GetId())
		}
		// As openssl prints it: colons and capitals.
		cert.Sha256 = strings.ToLower(strings.ReplaceAll(cert.GetSha256(), ":", ""))
		if _, ok := catalog.ParseSHA256(cert.GetSha256()); !ok {
			c.hint(field+".sha256", "openssl x509 -in cert.pem -noout -fingerprint -sha256", "is not 64 hexadecimal digits")
		}
		if seen["id "+cert.GetId()] || seen["sha "+cert.GetSha256()] {
			c.d.problem(c.ref, field, Conflict, "is written twice", "")
		}
		seen["id "+cert.GetId()], seen["sha "+cert.GetSha256()] = true, true
		c.time(field+".expires_at", cert.GetExpiresAt())
	}
}

func (c checker) subscription(m *pb.Subscription) {
	c.text("application", m.GetApplication(), true)
	c.text("plan", m.GetPlan(), true)
	c.time("starts_at", m.GetStartsAt())
	c.time("ends_at", m.GetEndsAt())
	if s, e := m.GetStartsAt(), m.GetEndsAt(); s != nil && e != nil && !s.AsTime().Before(e.AsTime()) {
		c.bad("ends_at", "is not after starts_at")
	}
}

func (c checker) revocation(m *pb.Revocation) {
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

// sameTarget reports whether two revocations of an issuer name the same.
func sameTarget(a, b *pb.Revocation) bool {
	return a.GetJti() == b.GetJti() && a.GetClientId() == b.GetClientId() && a.GetSubject() == b.GetSubject() &&
		strings.EqualFold(a.GetTokenSha256(), b.GetTokenSha256())
}

// prepareRevocation fixes the time that the request left open. What a
// revocation names stays as it is: revoking something else must not end it.
func (d *Draft) prepareRevocation(ref catalog.Ref, n, old *pb.Revocation, m mode) {
	if old != nil {
		d.fixed(ref, "issuer", n.GetIssuer(), old.GetIssuer())
		if n.GetIssuer() == old.GetIssuer() && !sameTarget(n, old) {
			d.problem(ref, "", Conflict, "names something else than before, and revocations are never taken back by overwriting",
				"create another Revocation, or delete this one")
		}
		if end := n.GetExpiresAt(); end != nil && (old.GetExpiresAt() == nil || end.AsTime().Before(old.GetExpiresAt().AsTime())) {
			d.problem(ref, "expires_at", Conflict, "is earlier than before", "delete the revocation if it shall end")
		}
	}
	if (n.GetClientId() == "" && n.GetSubject() == "") || n.GetIssuedBefore() != nil {
		return
	}
	// Tokens have whole seconds: those of this second are meant, too.
	n.IssuedBefore = timestamppb.New(time.Unix(d.now.Unix()+1, 0).UTC())
	if m == apply && old.GetIssuedBefore() != nil {
		n.IssuedBefore = old.GetIssuedBefore() // the file says what it said
	}
}
