package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// connection is how a verb reaches the control plane.
type connection struct {
	Control string `setting:"control" check:"url http https" help:"address of the control plane; several, comma-separated: the next is asked when one is away"`
	// A flag would show the token to everybody who lists processes.
	AdminToken     string `setting:"admin-token" use:"environment" check:"token" secret:"true"`
	AdminTokenFile string `setting:"admin-token-file" help:"file with the admin token, unless PORTCULLIS_ADMIN_TOKEN has it"`
}

func newConnection() connection { return connection{Control: "http://127.0.0.1:8081"} }

func (c *connection) client() (*api.Client, error) {
	token := c.AdminToken
	if token == "" && c.AdminTokenFile != "" {
		text, err := os.ReadFile(c.AdminTokenFile)
		if err != nil {
			return nil, cli.Misused("admin-token-file: %v", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if token == "" {
		return nil, cli.Misused("no admin token (hint: set PORTCULLIS_ADMIN_TOKEN, or give --admin-token-file)")
	}
	return api.New(api.Config{Addresses: strings.Split(c.Control, ","), Token: token})
}

// writing are the flags of every write.
type writing struct {
	connection
	cli.Output
	Wait    bool          `setting:"wait" use:"flag" help:"wait until every node of the fleet has it in force"`
	Skew    bool          `setting:"allow-skew" use:"flag" help:"let a change through that a live node would not understand, because its program is older"`
	Timeout time.Duration `setting:"timeout" use:"flag" min:"0s" help:"greatest time to wait for the nodes (default 5s)"`
}

func newWriting() writing {
	return writing{connection: newConnection(), Output: cli.Output{Format: cli.Text}}
}

func (w *writing) write() api.Write {
	return api.Write{Wait: w.Wait, Timeout: w.Timeout, AllowSkew: w.Skew}
}

// condition is the flag for a condition on the present version.
type condition struct {
	IfMatch string `setting:"if-match" use:"flag" help:"refuse unless the resource is at this version: a number, or an ETag"`
}

// on adds the condition to a write.
func (c condition) on(w api.Write) api.Write {
	w.IfMatch = c.IfMatch
	if w.IfMatch != "" && !strings.HasPrefix(w.IfMatch, `"`) && w.IfMatch != "*" {
		w.IfMatch = `"` + w.IfMatch + `"`
	}
	return w
}

// kindOf understands "plans", "plan" and "Plan".
func kindOf(name string) pb.Kind {
	kind := catalog.KindByCollection(name)
	if kind == pb.Kind_KIND_UNSPECIFIED {
		kind = catalog.KindByCollection(name + "s")
	}
	if kind == pb.Kind_KIND_UNSPECIFIED {
		kind = catalog.KindByName(name)
	}
	return kind
}

func collection(name string) (pb.Kind, error) {
	kind := kindOf(name)
	if kind == pb.Kind_KIND_UNSPECIFIED {
		return kind, cli.Misused("no collection %q (hint: %s)", name, fault.Suggest(name, collections()))
	}
	return kind, nil
}

// written is what verbs that write print with -o json: stable names.
type written struct {
	// Ref is the resource, such as "plans/gold"; Action what was done with it.
	Ref    string `json:"ref"`
	Action string `json:"action"`
	// Sequence is the change's number in the log.
	Sequence uint64 `json:"sequence"`
	ETag     string `json:"etag,omitempty"`
	// Fleet is where the nodes stand, with --wait; Pending: not all have it in force.
	Fleet   string `json:"fleet,omitempty"`
	Pending bool   `json:"pending,omitempty"`
}

// report says where a write stands. That it is not in force everywhere is a failure
// only of what was asked for with --wait.
func (w *writing) report(call *cli.Call, action, ref string, outcome api.Outcome) error {
	var err error
	if w.JSON() {
		err = cli.WriteJSON(call.Stdout, written{
			Ref: ref, Action: action, Sequence: outcome.Sequence, ETag: outcome.ETag, Fleet: outcome.Fleet, Pending: outcome.Pending,
		})
	} else {
		text := action
		if action == "revoked" {
			text = "revoked as" // what is named is the revocation, not what it revokes
		}
		_, err = fmt.Fprintf(call.Stdout, "%s %s at sequence %d%s\n", text, ref, outcome.Sequence, fleetText(outcome.Fleet))
	}
	return errors.Join(err, pending("change", outcome.Pending, outcome.Fleet))
}

func pending(what string, is bool, fleet string) error {
	if !is {
		return nil
	}
	return fmt.Errorf("the %s is durable, but not in force on every node: %s", what, fleet)
}

func fleetText(header string) string {
	if header == "" {
		return ""
	}
	return ", " + header
}

// readFile reads a file, or standard input for "-".
func readFile(call *cli.Call, name string) (api.File, error) {
	if name == "-" {
		data, err := io.ReadAll(call.Stdin)
		if err != nil {
			return api.File{}, fmt.Errorf("read standard input: %w", err)
		}
		return api.File{Name: "stdin", Data: data}, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return api.File{}, fmt.Errorf("%s: %w", name, errors.Unwrap(err))
	}
	return api.File{Name: name, Data: data}, nil
}
