package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/client"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

const defaultControl = "http://127.0.0.1:8081"

// options are the flags of a verb that talks to the control plane.
type options struct {
	*pflag.FlagSet
	process process
	control *string
	token   *string
	wait    *bool
	timeout *time.Duration
	ifMatch *string
}

// newOptions starts the flags of a verb; write adds those of every write.
func newOptions(p process, name string, write bool) *options {
	o := &options{FlagSet: pflag.NewFlagSet(name, pflag.ContinueOnError), process: p}
	o.SetOutput(p.stdout)
	o.Usage = func() {
		_, _ = fmt.Fprintf(p.stdout, "usage: keymanager-sync %s %s\n\n%s", name, argsOf(name), o.FlagUsages())
	}
	control := p.getenv("PORTCULLIS_CONTROL")
	if control == "" {
		control = defaultControl
	}
	o.control = o.String("control", control, "address of the control plane")
	o.token = o.String("admin-token-file", p.getenv("PORTCULLIS_ADMIN_TOKEN_FILE"), "file with the admin token, unless PORTCULLIS_ADMIN_TOKEN has it")
	if write {
		o.wait = o.Bool("wait", false, "wait until every live node has applied it")
		o.timeout = o.Duration("timeout", 0, "greatest time to wait for the nodes (default 5s)")
	}
	return o
}

// withIfMatch adds the flag for a condition on the present version.
func (o *options) withIfMatch() *options {
	o.ifMatch = o.String("if-match", "", "refuse unless the resource is at this version: a number, or an ETag")
	return o
}

func argsOf(name string) string {
	for _, v := range verbs() {
		if v.name == name {
			return v.args
		}
	}
	return ""
}

// parse reads the arguments; least and most bound what is left after the flags.
func (o *options) parse(least, most int) error {
	if err := o.Parse(o.process.args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return &usageError{err.Error()}
	}
	switch n := o.NArg(); {
	case n < least:
		return &usageError{"too few arguments"}
	case n > most:
		return &usageError{fmt.Sprintf("unexpected argument %q", o.Arg(most))}
	}
	return nil
}

func (o *options) client() (*client.Client, error) {
	token := o.process.getenv("PORTCULLIS_ADMIN_TOKEN")
	if token == "" && *o.token != "" {
		text, err := os.ReadFile(*o.token)
		if err != nil {
			return nil, fmt.Errorf("admin token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	return client.New(*o.control, token)
}

func (o *options) write() client.Write {
	w := client.Write{Wait: *o.wait, Timeout: *o.timeout}
	if o.ifMatch != nil && *o.ifMatch != "" {
		w.IfMatch = *o.ifMatch
		if !strings.HasPrefix(w.IfMatch, `"`) && w.IfMatch != "*" {
			w.IfMatch = `"` + w.IfMatch + `"`
		}
	}
	return w
}

// collection understands "plans", "plan" and "Plan".
func collection(name string) (string, error) {
	kind := catalog.KindByCollection(name)
	if kind == pb.Kind_KIND_UNSPECIFIED {
		kind = catalog.KindByCollection(name + "s")
	}
	if kind == pb.Kind_KIND_UNSPECIFIED {
		kind = catalog.KindByName(name)
	}
	if kind == pb.Kind_KIND_UNSPECIFIED {
		known := make([]string, 0, len(catalog.Kinds()))
		for _, k := range catalog.Kinds() {
			known = append(known, catalog.Collection(k))
		}
		return "", &usageError{fmt.Sprintf("no collection %q (known: %s)", name, strings.Join(known, ", "))}
	}
	return catalog.Collection(kind), nil
}

// report says where a write stands. Not in force everywhere is a failure only
// of what was asked for with --wait, so it is told as one.
func report(p process, what string, outcome client.Outcome) error {
	_, _ = fmt.Fprintf(p.stdout, "%s at sequence %d%s\n", what, outcome.Sequence, fleetText(outcome.Fleet))
	if outcome.Pending {
		return fmt.Errorf("the change is durable, but not in force on every node: %s", outcome.Fleet)
	}
	return nil
}

func fleetText(header string) string {
	if header == "" {
		return ""
	}
	return ", " + header
}

// readFile reads a file, or standard input for "-".
func readFile(p process, name string) (client.File, error) {
	if name == "-" {
		data, err := io.ReadAll(p.stdin)
		if err != nil {
			return client.File{}, fmt.Errorf("read standard input: %w", err)
		}
		return client.File{Name: "stdin", Data: data}, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return client.File{}, fmt.Errorf("%s: %w", name, errors.Unwrap(err))
	}
	return client.File{Name: name, Data: data}, nil
}
