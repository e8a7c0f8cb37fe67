// Keymanager-sync is the control plane, and the command line that talks to it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, process{args: os.Args[1:], lookupEnv: os.LookupEnv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(status)
}

// process is what a command may know of the process it runs in.
type process struct {
	args           []string
	lookupEnv      func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
}

func (p process) getenv(name string) string {
	value, _ := p.lookupEnv(name)
	return value
}

// verb is one thing the program can do.
type verb struct {
	name, args, does string
	run              func(context.Context, process) error
}

func verbs() []verb {
	return []verb{
		{"serve", "", "run the control plane", serve},
		{"new-epoch", "", "begin the next epoch after the log was lost or rolled back", newEpoch},
		{"apply", "-f FILE...", "make resources as files say, all or none", apply},
		{"import", "-f FILE", "apply a file of any size, chunk by chunk", importFile},
		{"get", "COLLECTION [ID]", "read resources", get},
		{"delete", "COLLECTION ID", "remove a resource", remove},
		{"step", "COLLECTION ID VERB", "move a resource along its lifecycle", step},
		{"revoke", "(--jti|--token|--client|--subject) X", "refuse tokens before they expire", revoke},
		{"fleet", "", "show the nodes, and where each stands", showFleet},
	}
}

// usageError is a fault of the command line, not of what it asks for.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func run(ctx context.Context, p process) int {
	if len(p.args) == 0 {
		usage(p.stderr)
		return exitUsage
	}
	name := p.args[0]
	switch name {
	case "help", "-h", "--help":
		usage(p.stdout)
		return exitDone
	}
	if name == "found" {
		name = "new-epoch" // what it was called before
	}
	for _, v := range verbs() {
		if v.name == name {
			p.args = p.args[1:]
			return conclude(p, v, v.run(ctx, p))
		}
	}
	_, _ = fmt.Fprintf(p.stderr, "keymanager-sync: unknown command %q\n\n", name)
	usage(p.stderr)
	return exitUsage
}

// conclude tells what went wrong, where people look for it.
func conclude(p process, v verb, err error) int {
	wrong, isUsage := errors.AsType[*usageError](err)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, pflag.ErrHelp):
		return exitDone
	case isUsage:
		_, _ = fmt.Fprintf(p.stderr, "keymanager-sync %s: %s\nusage: keymanager-sync %s %s (--help for more)\n", v.name, wrong.text, v.name, v.args)
		return exitUsage
	}
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		_, _ = fmt.Fprintln(p.stderr, line)
	}
	return exitFailed
}

func usage(w io.Writer) {
	_, _ = fmt.Fprintln(w, "Keymanager-sync is the control plane of a fleet of Portcullis gateways.")
	_, _ = fmt.Fprintln(w)
	for _, v := range verbs() {
		_, _ = fmt.Fprintf(w, "  keymanager-sync %-44s %s\n", v.name+" "+v.args, v.does)
	}
	_, _ = fmt.Fprintln(w)
	_, _ = fmt.Fprintln(w, "All but serve and new-epoch talk to the control plane at --control (or PORTCULLIS_CONTROL)")
	_, _ = fmt.Fprintln(w, "with the token in PORTCULLIS_ADMIN_TOKEN. --help after a command tells its flags.")
}
