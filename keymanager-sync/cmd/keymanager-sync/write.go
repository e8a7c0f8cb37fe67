package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/client"
	"github.com/portcullis-gateway/portcullis/shared/cli"
)

// apply makes resources as files say.
type apply struct {
	writing
	Files  []string `setting:"file" short:"f" use:"flag" elements:"whole" check:"input" value:"file" help:"file with resources; may be repeated; - reads standard input"`
	DryRun bool     `setting:"dry-run" use:"flag" help:"change nothing; show what would change"`
	Deploy bool     `setting:"deploy" use:"flag" help:"put every Api that is touched in force"`
}

// appliedResources is what apply prints with -o json: stable names.
type appliedResources struct {
	client.Applied
	DryRun   bool   `json:"dry_run"`
	Sequence uint64 `json:"sequence"`
	Fleet    string `json:"fleet,omitempty"`
	Pending  bool   `json:"pending,omitempty"`
}

func (a *apply) Run(ctx context.Context, call *cli.Call) error {
	if len(a.Files) == 0 {
		return cli.Misused("no file (hint: -f FILE, or -f - for standard input)")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var texts []client.File
	for _, name := range slices.Concat(a.Files, call.Args) { // so that apply -f *.yaml works
		text, err := readFile(call, name)
		if err != nil {
			return err
		}
		texts = append(texts, text)
	}
	applied, outcome, err := c.Apply(ctx, texts, a.DryRun, a.Deploy, a.write())
	if err != nil {
		return err
	}
	return errors.Join(a.show(call, applied, outcome), pending("change", outcome.Pending, outcome.Fleet))
}

// show prints what has changed, or would.
func (a *apply) show(call *cli.Call, applied client.Applied, outcome client.Outcome) error {
	if a.JSON() {
		return cli.WriteJSON(call.Stdout, appliedResources{
			Applied: applied, DryRun: a.DryRun, Sequence: outcome.Sequence, Fleet: outcome.Fleet, Pending: outcome.Pending,
		})
	}
	text := applied.Text
	if a.DryRun {
		text += "dry run: nothing was changed\n"
	} else {
		text += fmt.Sprintf("applied at sequence %d%s\n", outcome.Sequence, fleetText(outcome.Fleet))
	}
	_, err := io.WriteString(call.Stdout, text)
	return err
}

// remove is the verb delete.
type remove struct {
	writing
	condition
	Cascade bool `setting:"cascade" use:"flag" help:"remove what refers to the resource, too"`
}

func (r *remove) Run(ctx context.Context, call *cli.Call) error {
	kind, err := collection(call.Args[0])
	if err != nil {
		return err
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	outcome, err := c.Delete(ctx, kind, call.Args[1], r.Cascade, r.on(r.write()))
	if err != nil {
		return err
	}
	return r.report(call, "removed", kind+"/"+call.Args[1], outcome)
}

// step moves a resource along its lifecycle.
type step struct {
	writing
	condition
	Revision uint64 `setting:"revision" use:"flag" help:"with rollback: the revision to go back to (default: the one before)"`
}

func (s *step) Run(ctx context.Context, call *cli.Call) error {
	kind, err := collection(call.Args[0])
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	outcome, err := c.Step(ctx, kind, call.Args[1], call.Args[2], s.Revision, s.on(s.write()))
	if err != nil {
		return err
	}
	return s.report(call, call.Args[2], kind+"/"+call.Args[1], outcome)
}

// revocation is the resource that revoke makes.
type revocation struct {
	ID          string `json:"id,omitempty"`
	Issuer      string `json:"issuer,omitempty"`
	JTI         string `json:"jti,omitempty"`
	TokenSHA256 string `json:"token_sha256,omitempty"`
	ClientID    string `json:"client_id,omitempty"`
	Subject     string `json:"subject,omitempty"`
	ExpiresAt   string `json:"expires_at,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

// revoke refuses tokens before they expire.
type revoke struct {
	writing
	ID      string `setting:"id" use:"flag" help:"id of the revocation (default: generated)"`
	Issuer  string `setting:"issuer" use:"flag" help:"id of the issuer; needed with all but --token"`
	JTI     string `setting:"jti" use:"flag" help:"the token with this jti"`
	Token   string `setting:"token" use:"flag" secret:"true" help:"this token; only its SHA-256 is sent. - reads it from standard input"`
	Client  string `setting:"client" use:"flag" help:"all tokens of this client that were issued until now"`
	Subject string `setting:"subject" use:"flag" help:"all tokens of this subject that were issued until now"`
	Expires string `setting:"expires-at" use:"flag" help:"when the tokens have expired by themselves: a time (RFC 3339), or a duration from now"`
	Reason  string `setting:"reason" use:"flag" help:"for the record"`
}

func (v *revoke) Run(ctx context.Context, call *cli.Call) error {
	r := revocation{ID: v.ID, Issuer: v.Issuer, JTI: v.JTI, ClientID: v.Client, Subject: v.Subject, Reason: v.Reason}
	if err := r.complete(call, v.Token, v.Expires); err != nil {
		return err
	}
	c, err := v.client()
	if err != nil {
		return err
	}
	defer c.Close()
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the revocation: %w", err)
	}
	outcome, err := c.Create(ctx, "revocations", body, v.write())
	if err != nil {
		return err
	}
	var made revocation
	if err := json.Unmarshal(outcome.Body, &made); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return v.report(call, "revoked", "revocations/"+made.ID, outcome)
}

// complete checks that there is one target, hashes a token, and reads the time.
func (r *revocation) complete(call *cli.Call, token, expires string) error {
	given := 0
	for _, target := range []string{r.JTI, token, r.ClientID, r.Subject} {
		if target != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return cli.Misused("give one of --jti, --token, --client and --subject")
	case token == "" && r.Issuer == "":
		return cli.Misused("--issuer is missing: a jti, client or subject means something only together with its issuer")
	}
	if err := r.expiry(expires); err != nil {
		return err
	}
	if token == "" {
		return nil
	}
	if token == "-" {
		text, err := readFile(call, token)
		if err != nil {
			return err
		}
		token = string(text.Data)
	}
	return r.token(strings.TrimSpace(token))
}

func (r *revocation) expiry(text string) error {
	if text == "" {
		return nil
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(text, "+")); err == nil && d > 0 {
		r.ExpiresAt = time.Now().Add(d).UTC().Format(time.RFC3339)
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return cli.Misused("--expires-at %q is neither a time nor a duration (2030-01-01T00:00:00Z, 24h)", text)
	}
	r.ExpiresAt = t.UTC().Format(time.RFC3339)
	return nil
}

// skew is the greatest tolerance for exp that an issuer can have.
const skew = 10 * time.Minute

// token keeps a token's hash, and when it expires if it says so. The token
// itself stays here.
func (r *revocation) token(compact string) error {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return cli.Misused("--token is not a JWT in compact form: three parts with dots between them")
	}
	sum := sha256.Sum256([]byte(compact))
	r.TokenSHA256 = hex.EncodeToString(sum[:])
	if r.ExpiresAt != "" {
		return nil
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	const farthest = 1 << 40 // seconds; a time that RFC 3339 cannot write any more
	if err == nil && json.Unmarshal(payload, &claims) == nil && claims.Exp > 0 && claims.Exp < farthest {
		if t := time.Unix(int64(claims.Exp), 0).Add(skew).UTC(); t.Year() < 10_000 {
			r.ExpiresAt = t.Format(time.RFC3339)
		}
	}
	return nil
}
