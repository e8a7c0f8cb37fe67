package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Exit statuses of every program.
const (
	Done   = 0 // what was asked for is done
	Failed = 1 // it is not, or it was refused
	Usage  = 2 // the command line or the settings are wrong: nothing was tried
)

// Process is what a program may know of the process it runs in.
type Process struct {
	// Args are the words after the program's name.
	Args []string
	// LookupEnv, Environ and ReadFile are those of package os.
	LookupEnv func(string) (string, bool)
	Environ   func() []string
	ReadFile  func(string) ([]byte, error)

	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Call is one use of a verb: the process, with what is left of the command line.
type Call struct {
	Process
	// Args are the positional arguments.
	Args []string
	// Loaded knows where the settings came from.
	Loaded *config.Loaded
}

// Runner is a verb's settings, with what it does.
type Runner interface {
	Run(ctx context.Context, call *Call) error
}

// Verb is one thing a program can do.
type Verb struct {
	Name string
	// Aliases are other names that are understood and not shown.
	Aliases []string
	// Summary is one line for the list of verbs; More is what its own help says
	// besides.
	Summary, More string
	// Arguments are the positional ones, for reading: "COLLECTION [ID]".
	Arguments string
	// Least and Most bound the number of positional arguments; Most < 0: any number.
	Least, Most int
	// Stray is the hint when there is an argument too many.
	Stray string
	// Words are what may come next after some positional arguments, for shells; nil:
	// nothing is known.
	Words func(given []string) []string
	// Serves: the verb runs until it is ended. It has --config and --check.
	Serves bool
	// Attended: it serves somebody at a terminal, and ends with it.
	Attended bool
	// New returns the settings with their defaults.
	New func() Runner
}

// Files among the words of a Verb means that paths of files may follow.
const Files = ":files"

// App is a program.
type App struct {
	Name, Summary string
	// More is what the program's help says after its verbs.
	More string
	// Default is the verb that runs when the command line names none; empty: one is
	// needed.
	Default string
	Verbs   []Verb
}

// UsageError is a fault of the command line, not of what it asks for.
type UsageError struct{ Text string }

// Error is the fault.
func (e *UsageError) Error() string { return e.Text }

// Misused makes a UsageError.
func Misused(format string, args ...any) error {
	return &UsageError{fmt.Sprintf(format, args...)}
}

// StatusError ends a program with a status other than Failed. Err may be nil: then
// nothing is printed.
type StatusError struct {
	Status int
	Err    error
}

// Error is that of Err.
func (e *StatusError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("status %d", e.Status)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *StatusError) Unwrap() error { return e.Err }

// Run does what the command line asks for, and returns the exit status.
func (a App) Run(ctx context.Context, p Process) int {
	verb, args, err := a.choose(p)
	if err != nil {
		say(p.Stderr, a.Name+": "+err.Error())
		return Usage
	}
	if verb == nil {
		_, _ = io.WriteString(p.Stderr, a.usage())
		return Usage
	}
	p.Args = args
	return a.conclude(p, verb, a.call(ctx, p, verb))
}

// choose finds the verb, and the words after it; nil: the command line is empty and
// there is no default.
func (a App) choose(p Process) (*Verb, []string, error) {
	if len(p.Args) == 0 {
		return a.verb(a.Default), nil, nil
	}
	word, rest := p.Args[0], p.Args[1:]
	if verb := a.verb(word); verb != nil {
		return verb, rest, nil
	}
	byDefault := a.verb(a.Default)
	switch {
	case byDefault == nil && (word == "--help" || word == "-h"):
		return a.verb("help"), rest, nil
	case byDefault == nil && word == "--version":
		return a.verb("version"), rest, nil
	case byDefault == nil && strings.HasPrefix(word, "-"):
		return nil, nil, Misused("flags follow a verb (hint: %s VERB %s)", a.Name, word)
	case byDefault == nil:
		return nil, nil, Misused("unknown verb %q (hint: %s)", word, fault.Suggest(word, a.names()))
	case a.mistyped(p, word):
		return nil, nil, Misused("%q is neither a verb nor a file (hint: %s)", word, fault.Suggest(word, a.names()))
	}
	return byDefault, p.Args, nil
}

// mistyped reports whether a word that could be an argument of the default verb is
// more likely the name of a verb.
func (a App) mistyped(p Process, word string) bool {
	if strings.HasPrefix(word, "-") || strings.ContainsAny(word, "./") ||
		!strings.HasPrefix(fault.Suggest(word, a.names()), "did you mean") {
		return false
	}
	_, err := p.ReadFile(word)
	return err != nil
}

// verb finds a verb by its name; nil: there is none.
func (a App) verb(name string) *Verb {
	if name == "" {
		return nil
	}
	for _, v := range a.verbs() {
		if v.Name == name || slices.Contains(v.Aliases, name) {
			return &v
		}
	}
	return nil
}

// verbs are the program's own, and those that every program has.
func (a App) verbs() []Verb {
	return append(append([]Verb(nil), a.Verbs...), a.common()...)
}

func (a App) names() []string {
	var names []string
	for _, v := range a.verbs() {
		if v.Summary != "" {
			names = append(names, v.Name)
		}
	}
	return names
}

// call reads a verb's flags and settings, and runs it.
func (a App) call(ctx context.Context, p Process, v *Verb) error {
	runner := v.New()
	if c, ok := runner.(*completion); ok && v.Name == completeVerb { // its words are another command line's
		c.words = p.Args
		return c.Run(ctx, &Call{Process: p})
	}
	loaded, err := config.Load(a.program(v), runner, config.Source{
		Args: p.Args, LookupEnv: p.LookupEnv, Environ: a.environ(p, v), ReadFile: p.ReadFile,
	})
	if err != nil {
		return err
	}
	switch loaded.Mode {
	case config.Help:
		_, err = io.WriteString(p.Stdout, loaded.Usage)
		return err
	case config.Version:
		return (&versionVerb{app: a.Name, Output: Output{Format: Text}}).Run(ctx, &Call{Process: p})
	case config.Check, config.Run:
	}
	switch n := len(loaded.Args); {
	case n < v.Least:
		return Misused("too few arguments")
	case v.Most >= 0 && n > v.Most:
		hint := ""
		if v.Stray != "" {
			hint = " (hint: " + v.Stray + ")"
		}
		return Misused("unexpected argument %q%s", loaded.Args[v.Most], hint)
	}
	if loaded.Mode == config.Check {
		return loaded.Print(p.Stdout)
	}
	return runner.Run(ctx, &Call{Process: p, Args: loaded.Args, Loaded: loaded})
}

// environ is where unknown variables are looked for: only by what goes on running,
// whose settings come from there.
func (a App) environ(p Process, v *Verb) func() []string {
	if !v.Serves {
		return nil
	}
	return p.Environ
}

// conclude says what went wrong, and returns the exit status.
func (a App) conclude(p Process, v *Verb, err error) int {
	if err == nil {
		return Done
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		if status.Err != nil {
			say(p.Stderr, a.invocation(v)+": "+status.Err.Error())
		}
		return status.Status
	}
	if faults, ok := errors.AsType[fault.List](err); ok {
		say(p.Stderr, faults.Error())
		return Usage
	}
	if wrong, ok := errors.AsType[*UsageError](err); ok {
		say(p.Stderr, a.invocation(v)+": "+wrong.Text)
		say(p.Stderr, "usage: "+strings.TrimSpace(a.invocation(v)+" "+v.Arguments)+" (--help for more)")
		return Usage
	}
	say(p.Stderr, err.Error())
	return Failed
}

// invocation is how a verb is called; the default one by the program's name alone.
func (a App) invocation(v *Verb) string {
	if v.Name == a.Default {
		return a.Name
	}
	return a.Name + " " + v.Name
}

// Warn logs what is wrong with the settings and keeps nothing from running.
func (c *Call) Warn(ctx context.Context, logger *slog.Logger) {
	for _, w := range c.Loaded.Warnings {
		logger.LogAttrs(ctx, slog.LevelWarn, "a setting is not known", slog.String("problem", w.Error()))
	}
}

func say(w io.Writer, text string) { _, _ = fmt.Fprintln(w, strings.TrimRight(text, "\n")) }
