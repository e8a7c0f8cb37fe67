package assertion

import (
	"crypto/rand"
	"encoding/json"

	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Plan signs by the settings of one plan. It is immutable and safe for concurrent use.
type Plan struct {
	*compile.Assertion
	signer *Signer
}

// Plan makes a Plan that signs with s.
func (s *Signer) Plan(settings *compile.Assertion) *Plan { return &Plan{settings, s} }

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
	out := Signed{ExpiresAt: now + p.Lifetime, Renew: now + p.Lifetime - p.Lifetime/5}
	if c.ExpiresAt != 0 && c.ExpiresAt <= out.ExpiresAt {
		out.ExpiresAt, out.Renew = c.ExpiresAt, c.ExpiresAt // a new one could not live longer
	}
	environment := "PRODUCTION"
	if c.Sandbox {
		environment = "SANDBOX"
	}
	w := writer{payload: make([]byte, 0, 512)}
	w.text("iss", p.Issuer)
	w.text("aud", p.Audience)
	w.text("sub", c.Subject)
	w.text("client_id", c.ClientID)
	w.raw("iat", now)
	w.raw("exp", out.ExpiresAt)
	w.text("jti", rand.Text())
	w.text(compile.ClaimNamespace+"issuer", c.Issuer)
	w.text(compile.ClaimNamespace+"api", p.API)
	w.text(compile.ClaimNamespace+"plan", p.Plan)
	w.text(compile.ClaimNamespace+"plan_name", p.PlanName)
	w.text(compile.ClaimNamespace+"application", c.Application)
	w.text(compile.ClaimNamespace+"application_name", c.ApplicationName)
	w.text(compile.ClaimNamespace+"environment", environment)
	for _, name := range p.Claims {
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
