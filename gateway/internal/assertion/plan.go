package assertion

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/rules"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

const (
	// DefaultHeader carries the JWT when the plan names no other.
	DefaultHeader = "X-JWT-Assertion"

	defaultIssuer   = "portcullis"
	defaultLifetime = 5 * time.Minute
	maxLifetime     = time.Hour
)

// Place says where requests of a plan go, for the claims.
type Place struct{ API, Plan, PlanName string }

// Plan signs by the settings of one plan. It is immutable and safe for concurrent use.
type Plan struct {
	signer           *Signer
	header           string
	issuer, audience string
	place            Place
	claims           []string
	lifetime         int64 // seconds
}

// Compile makes a Plan. Absent settings have the defaults of the schema.
func (s *Signer) Compile(settings *pb.SignedJwt, place Place) *Plan {
	p := &Plan{
		signer: s, header: settings.GetHeader(), issuer: settings.GetIssuer(), audience: settings.GetAudience(),
		place: place, lifetime: int64(defaultLifetime / time.Second),
	}
	if p.header == "" {
		p.header = DefaultHeader
	}
	if p.issuer == "" {
		p.issuer = defaultIssuer
	}
	if p.audience == "" {
		p.audience = place.API
	}
	if d := settings.GetLifetime().AsDuration(); settings.GetLifetime() != nil && d > 0 {
		p.lifetime = max(1, int64(min(d, maxLifetime)/time.Second))
	}
	for _, name := range settings.GetClaims() {
		if !rules.ReservedClaim(name) && !slices.Contains(p.claims, name) {
			p.claims = append(p.claims, name)
		}
	}
	return p
}

// Header is the name of the field that carries the JWT.
func (p *Plan) Header() string { return p.header }

// Caller is who calls.
type Caller struct {
	// Issuer is the iss of the token.
	Issuer, Subject, ClientID    string
	Application, ApplicationName string
	Sandbox                      bool
	// ExpiresAt is when the token stops to be accepted, in seconds since 1970; 0: never.
	ExpiresAt int64
	Claims    *token.Claims
}

// Signed is a JWT and how long it serves, in seconds since 1970: from Renew on
// it is better replaced, from ExpiresAt on it is worth nothing.
type Signed struct {
	JWT              string
	Renew, ExpiresAt int64
}

// Sign makes a JWT at now (seconds since 1970). It lives no longer than the
// token it stands for.
func (p *Plan) Sign(c *Caller, now int64) (Signed, error) {
	out := Signed{ExpiresAt: now + p.lifetime, Renew: now + p.lifetime - p.lifetime/5}
	if c.ExpiresAt != 0 && c.ExpiresAt <= out.ExpiresAt {
		out.ExpiresAt, out.Renew = c.ExpiresAt, c.ExpiresAt // a new one could not live longer
	}
	environment := "PRODUCTION"
	if c.Sandbox {
		environment = "SANDBOX"
	}
	w := writer{payload: make([]byte, 0, 512)}
	w.text("iss", p.issuer)
	w.text("aud", p.audience)
	w.text("sub", c.Subject)
	w.text("client_id", c.ClientID)
	w.raw("iat", now)
	w.raw("exp", out.ExpiresAt)
	w.text("jti", rand.Text())
	w.text(rules.ClaimNamespace+"issuer", c.Issuer)
	w.text(rules.ClaimNamespace+"api", p.place.API)
	w.text(rules.ClaimNamespace+"plan", p.place.Plan)
	w.text(rules.ClaimNamespace+"plan_name", p.place.PlanName)
	w.text(rules.ClaimNamespace+"application", c.Application)
	w.text(rules.ClaimNamespace+"application_name", c.ApplicationName)
	w.text(rules.ClaimNamespace+"environment", environment)
	for _, name := range p.claims {
		if value, ok := c.Claims.Raw(name); ok {
			w.raw(name, json.RawMessage(value))
		}
	}
	payload, err := w.end()
	if err != nil {
		return Signed{}, err
	}
	out.JWT, err = p.signer.sign(payload)
	return out, err
}

// writer writes the members of a JSON object.
type writer struct {
	payload []byte
	err     error
}

// text writes a member, unless it is empty.
func (w *writer) text(name, value string) {
	if value != "" {
		w.raw(name, value)
	}
}

func (w *writer) raw(name string, value any) {
	key, err := json.Marshal(name)
	if err == nil {
		var encoded []byte
		encoded, err = json.Marshal(value)
		w.payload = append(append(append(append(w.payload, ','), key...), ':'), encoded...)
	}
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) end() ([]byte, error) {
	w.payload[0] = '{'
	return append(w.payload, '}'), w.err
}
