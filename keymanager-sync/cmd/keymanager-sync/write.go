package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/client"
)

// apply makes resources as files say.
func apply(ctx context.Context, p process) error {
	o := newOptions(p, "apply", true)
	files := o.StringArrayP("file", "f", nil, "file with resources; may be repeated; - reads standard input")
	dryRun := o.Bool("dry-run", false, "change nothing; tell what would change")
	deploy := o.Bool("deploy", true, "put every Api that is touched in force")
	const anyNumber = 1 << 20
	if err := o.parse(0, anyNumber); err != nil {
		return err
	}
	names := append(*files, o.Args()...) // so that apply -f *.yaml works
	if len(*files) == 0 || len(names) == 0 {
		return &usageError{"no file"}
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var texts []client.File
	for _, name := range names {
		text, err := readFile(p, name)
		if err != nil {
			return err
		}
		texts = append(texts, text)
	}
	applied, outcome, err := c.Apply(ctx, texts, *dryRun, *deploy, o.write())
	if err != nil {
		return err
	}
	_, _ = io.WriteString(p.stdout, applied.Text)
	if *dryRun {
		_, _ = fmt.Fprintln(p.stdout, "dry run: nothing was changed")
		return nil
	}
	return report(p, "applied", outcome)
}

// remove deletes a resource.
func remove(ctx context.Context, p process) error {
	o := newOptions(p, "delete", true).withIfMatch()
	cascade := o.Bool("cascade", false, "remove what refers to the resource, too")
	if err := o.parse(2, 2); err != nil {
		return err
	}
	kind, err := collection(o.Arg(0))
	if err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	defer c.Close()
	outcome, err := c.Delete(ctx, kind, o.Arg(1), *cascade, o.write())
	if err != nil {
		return err
	}
	return report(p, "removed "+kind+"/"+o.Arg(1), outcome)
}

// step moves a resource along its lifecycle.
func step(ctx context.Context, p process) error {
	o := newOptions(p, "step", true).withIfMatch()
	revision := o.Uint64("revision", 0, "with rollback: the revision to go back to (default: the one before)")
	if err := o.parse(3, 3); err != nil {
		return err
	}
	kind, err := collection(o.Arg(0))
	if err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	defer c.Close()
	outcome, err := c.Step(ctx, kind, o.Arg(1), o.Arg(2), *revision, o.write())
	if err != nil {
		return err
	}
	return report(p, o.Arg(2)+" "+kind+"/"+o.Arg(1), outcome)
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
func revoke(ctx context.Context, p process) error {
	o := newOptions(p, "revoke", true)
	var r revocation
	o.StringVar(&r.ID, "id", "", "id of the revocation (default: generated)")
	o.StringVar(&r.Issuer, "issuer", "", "id of the issuer; needed with all but --token")
	o.StringVar(&r.JTI, "jti", "", "the token with this jti")
	token := o.String("token", "", "this token; only its SHA-256 is sent. - reads it from standard input")
	o.StringVar(&r.ClientID, "client", "", "all tokens of this client that were issued until now")
	o.StringVar(&r.Subject, "subject", "", "all tokens of this subject that were issued until now")
	expires := o.String("expires-at", "", "when the tokens have expired by themselves: a time (RFC 3339), or a duration from now")
	o.StringVar(&r.Reason, "reason", "", "for the record")
	if err := o.parse(0, 0); err != nil {
		return err
	}
	if err := r.complete(p, *token, *expires); err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	defer c.Close()
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the revocation: %w", err)
	}
	outcome, err := c.Create(ctx, "revocations", body, o.write())
	if err != nil {
		return err
	}
	var made revocation
	if err := json.Unmarshal(outcome.Body, &made); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return report(p, "revoked as revocations/"+made.ID, outcome)
}

// complete checks that there is one target, hashes a token, and reads the time.
func (r *revocation) complete(p process, token, expires string) error {
	given := 0
	for _, target := range []string{r.JTI, token, r.ClientID, r.Subject} {
		if target != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return &usageError{"give one of --jti, --token, --client and --subject"}
	case token == "" && r.Issuer == "":
		return &usageError{"--issuer is missing: a jti, client or subject means something only together with its issuer"}
	}
	if err := r.expiry(expires); err != nil {
		return err
	}
	if token == "" {
		return nil
	}
	if token == "-" {
		text, err := readFile(p, token)
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
		return &usageError{fmt.Sprintf("--expires-at %q is neither a time nor a duration (2030-01-01T00:00:00Z, 24h)", text)}
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
		return &usageError{"--token is not a JWT in compact form: three parts with dots between them"}
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
