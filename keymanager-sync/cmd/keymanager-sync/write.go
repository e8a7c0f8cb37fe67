package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
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
	api.Applied
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
	var texts []api.File
	for _, name := range slices.Concat(a.Files, call.Args) { // so that apply -f *.yaml works
		text, err := readFile(call, name)
		if err != nil {
			return err
		}
		texts = append(texts, text)
	}
	applied, outcome, err := c.Apply(ctx, api.Apply{Files: texts, DryRun: a.DryRun, NoDeploy: !a.Deploy, Write: a.write()})
	if err != nil {
		return err
	}
	return errors.Join(a.show(call, applied, outcome), pending("change", outcome.Pending, outcome.Fleet))
}

// show prints what has changed, or would.
func (a *apply) show(call *cli.Call, applied api.Applied, outcome api.Outcome) error {
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
	write := r.on(r.write())
	write.Cascade = r.Cascade
	outcome, err := c.All(kind).Delete(ctx, call.Args[1], write)
	if err != nil {
		return err
	}
	return r.report(call, "removed", catalog.Collection(kind)+"/"+call.Args[1], outcome)
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
	write := s.on(s.write())
	write.Revision = s.Revision
	moved, err := c.All(kind).Step(ctx, call.Args[1], call.Args[2], write)
	if err != nil {
		return err
	}
	return s.report(call, call.Args[2], catalog.Collection(kind)+"/"+call.Args[1], moved.Outcome)
}

// revoke refuses tokens before they expire.
type revoke struct {
	writing
	ID      string `setting:"id" use:"flag" help:"id of the revocation (default: generated)"`
	Issuer  string `setting:"issuer" use:"flag" help:"id of the issuer; needed with all but --token"`
	JTI     string `setting:"jti" use:"flag" help:"the token with this jti"`
	Token   string `setting:"token" use:"flag" secret:"true" help:"this token, or what follows Authorization: (Bearer and the token); only its SHA-256 is sent. - reads it from standard input"`
	Client  string `setting:"client" use:"flag" help:"all tokens of this client that were issued until now"`
	Subject string `setting:"subject" use:"flag" help:"all tokens of this subject that were issued until now"`
	Expires string `setting:"expires-at" use:"flag" help:"when the tokens have expired by themselves: a time (RFC 3339), or a duration from now (default: the exp of a JWT that --token gives, else never)"`
	Reason  string `setting:"reason" use:"flag" help:"for the record"`
}

func (v *revoke) Run(ctx context.Context, call *cli.Call) error {
	r, err := v.revocation(call)
	if err != nil {
		return err
	}
	c, err := v.client()
	if err != nil {
		return err
	}
	defer c.Close()
	made, err := c.Revocations().Create(ctx, r, v.write())
	if err != nil {
		return err
	}
	return v.report(call, "revoked", "revocations/"+made.Resource.GetId(), made.Outcome)
}

// revocation is the resource that the flags describe.
func (v *revoke) revocation(call *cli.Call) (*pb.Revocation, error) {
	given := 0
	for _, target := range []string{v.JTI, v.Token, v.Client, v.Subject} {
		if target != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, cli.Misused("give one of --jti, --token, --client and --subject")
	case v.Token == "" && v.Issuer == "":
		return nil, cli.Misused("--issuer is missing: a jti, client or subject means something only together with its issuer")
	}
	expires, err := expiry(v.Expires)
	if err != nil {
		return nil, err
	}
	r, err := v.target(call, expires)
	if err != nil {
		return nil, err
	}
	r.Id, r.Issuer, r.Reason = v.ID, v.Issuer, v.Reason
	if !expires.IsZero() {
		r.ExpiresAt = timestamppb.New(expires)
	}
	return r, nil
}

// target is what is revoked. Of a token only the hash is kept.
func (v *revoke) target(call *cli.Call, expires time.Time) (*pb.Revocation, error) {
	switch {
	case v.JTI != "":
		return &pb.Revocation{Target: &pb.Revocation_Jti{Jti: v.JTI}}, nil
	case v.Client != "":
		return &pb.Revocation{Target: &pb.Revocation_ClientId{ClientId: v.Client}}, nil
	case v.Subject != "":
		return &pb.Revocation{Target: &pb.Revocation_Subject{Subject: v.Subject}}, nil
	}
	token := v.Token
	if token == "-" {
		text, err := readFile(call, token)
		if err != nil {
			return nil, err
		}
		token = string(text.Data)
	}
	r, err := api.TokenRevocation(token, expires)
	switch {
	case errors.Is(err, api.ErrExpired):
		return nil, cli.Misused("--token: the token has expired by itself (hint: if an introspection server still takes it, say with --expires-at when the revocation ends)")
	case err != nil:
		return nil, cli.Misused("--token: %v", err)
	}
	return r, nil
}

// expiry is a time, or a duration from now; zero: none is given.
func expiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	now := time.Now()
	if d, err := time.ParseDuration(strings.TrimPrefix(text, "+")); err == nil && d > 0 {
		return now.Add(d).Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		return time.Time{}, cli.Misused("--expires-at %q is neither a time nor a duration (2030-01-01T00:00:00Z, 24h)", text)
	case !t.After(now):
		return time.Time{}, cli.Misused("--expires-at %q is past: the revocation would refuse no token", text)
	}
	return t, nil
}
