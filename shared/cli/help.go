package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

// common are the verbs of every program.
func (a App) common() []Verb {
	return []Verb{
		{
			Name: "version", Summary: "print the version, and from what it was built",
			New: func() Runner { return &versionVerb{app: a.Name, Output: Output{Format: Text}} },
		},
		{
			Name: "help", Arguments: "[VERB]", Most: 1, Summary: "print how a verb is used",
			Words: func(given []string) []string {
				if len(given) > 0 {
					return nil
				}
				return a.names()
			},
			New: func() Runner { return &helpVerb{app: a} },
		},
		{
			Name: "completion", Arguments: "bash|zsh|fish", Least: 1, Most: 1, Summary: "print a script that completes words in a shell",
			More: "Load it in the shell's start file:\n\n  bash  source <(" + a.Name + " completion bash)\n" +
				"  zsh   source <(" + a.Name + " completion zsh)\n  fish  " + a.Name + " completion fish | source\n",
			Words: func(given []string) []string {
				if len(given) > 0 {
					return nil
				}
				return shells()
			},
			New: func() Runner { return &completion{app: a} },
		},
		// What those scripts ask; not for people.
		{Name: completeVerb, Most: -1, New: func() Runner { return &completion{app: a} }},
	}
}

// program is what package config says about a verb.
func (a App) program(v *Verb) config.Program {
	summary := v.Summary
	if summary != "" {
		summary = strings.ToUpper(summary[:1]) + summary[1:] + "."
	}
	if v.More != "" {
		summary += "\n\n" + strings.TrimRight(v.More, "\n")
	}
	p := config.Program{Name: a.invocation(v), Summary: strings.TrimSpace(summary), Arguments: v.Arguments, Short: !v.Serves}
	if v.Name == a.Default {
		p.Summary, p.More = a.Summary, a.list()
		if v.More != "" {
			p.Summary += "\n\n" + strings.TrimRight(v.More, "\n")
		}
	}
	return p
}

// usage is the help of a program that needs a verb.
func (a App) usage() string {
	more := a.Name + " help VERB says how a verb is used.\n"
	if a.More != "" {
		more = strings.TrimRight(a.More, "\n") + "\n" + more
	}
	return fmt.Sprintf("%s\n\nUsage:\n  %s VERB …\n\n%s\n%s", a.Summary, a.Name, a.list(), more)
}

// list shows the verbs, one on a line.
func (a App) list() string {
	var b strings.Builder
	b.WriteString("Verbs:\n")
	width := 0
	for _, v := range a.verbs() {
		if v.Name != a.Default && v.Summary != "" {
			width = max(width, len([]rune(v.Name+" "+v.Arguments)))
		}
	}
	for _, v := range a.verbs() {
		if v.Name != a.Default && v.Summary != "" {
			fmt.Fprintf(&b, "  %-*s  %s\n", width, strings.TrimSpace(v.Name+" "+v.Arguments), v.Summary)
		}
	}
	return b.String()
}

// helpVerb prints the help of the program or of a verb.
type helpVerb struct{ app App }

func (h *helpVerb) Run(_ context.Context, call *Call) error {
	name := h.app.Default
	if len(call.Args) > 0 {
		name = call.Args[0]
	}
	if name == "" {
		_, err := io.WriteString(call.Stdout, h.app.usage())
		return err
	}
	v := h.app.verb(name)
	if v == nil {
		return Misused("unknown verb %q (hint: %s)", name, fault.Suggest(name, h.app.names()))
	}
	loaded, err := config.Load(h.app.program(v), v.New(), config.Source{Args: []string{"--help"}})
	if err != nil {
		return err
	}
	_, err = io.WriteString(call.Stdout, loaded.Usage)
	return err
}

// Version is what the verb version prints with -o json: stable names.
type Version struct {
	Program string `json:"program"`
	telemetry.Build
}

type versionVerb struct {
	Output
	app string
}

func (v *versionVerb) Run(_ context.Context, call *Call) error {
	b := telemetry.ReadBuild()
	if v.JSON() {
		return WriteJSON(call.Stdout, Version{Program: v.app, Build: b})
	}
	revision := b.Note
	if b.Revision != "" {
		revision = b.Revision
		if b.Time != "" {
			revision += " of " + b.Time
		}
		if b.Dirty {
			revision += ", with changes"
		}
	}
	_, err := fmt.Fprintf(call.Stdout, "%s %s\n  revision  %s\n  compiler  %s for %s\n  schema    %d\n",
		v.app, b.Version, revision, b.GoVersion, b.Platform, b.Schema)
	return err
}
