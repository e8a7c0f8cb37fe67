package config

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Program is what the usage text says besides the settings.
type Program struct {
	// Name is how the program is called: "keymanager-sync serve".
	Name string
	// Summary is one sentence on what it does.
	Summary string
	// Arguments are the positional ones, for reading: "[FILE…]".
	Arguments string
}

// Source is where settings come from besides their defaults.
type Source struct {
	// Args are the command line's words after the program's name (and verb).
	Args []string
	// LookupEnv is os.LookupEnv; nil: there is no environment.
	LookupEnv func(string) (string, bool)
	// ReadFile is os.ReadFile; it is asked only for the file that --config names.
	ReadFile func(string) ([]byte, error)
}

// Mode is what the command line asks for.
type Mode int

// The modes.
const (
	// Run the program.
	Run Mode = iota
	// Help was asked for: print Usage and exit.
	Help
	// Version was asked for: print it and exit.
	Version
	// Check was asked for: Print the effective settings and exit.
	Check
)

// Loaded is what Load found besides the settings' values.
type Loaded struct {
	Mode Mode
	// Args are the positional arguments.
	Args []string
	// Usage is the help text.
	Usage    string
	settings []*setting
}

// Load fills *cfg, a pointer to a struct that holds the defaults. If *cfg has a
// method Validate() error, that is asked too: it returns a fault.List whose Fields
// are names of settings, and Load adds where their values came from. The error is a
// fault.List with everything that is wrong. With the modes Help and Version nothing
// but the command line is looked at.
func Load(program Program, cfg any, from Source) (*Loaded, error) {
	settings := describe(cfg)
	l := &Loaded{settings: settings}
	var faults fault.List
	line := parseFlags(program, settings, from.Args, &faults)
	l.Args, l.Usage, l.Mode = line.flags.Args(), line.usage, line.mode()
	if l.Mode == Help || l.Mode == Version {
		return l, nil
	}
	file, place := *line.file, origin{name: "flag --config"}
	if file == "" && from.LookupEnv != nil {
		file, _ = from.LookupEnv(envName("config"))
		place = origin{name: "environment " + envName("config")}
	}
	if file != "" {
		readFile(file, place, settings, from, &faults)
	}
	if from.LookupEnv != nil {
		readEnv(settings, from.LookupEnv)
	}
	readFlags(settings)
	for _, s := range settings {
		s.resolve(&faults)
	}
	validate(cfg, settings, &faults)
	return l, faults.Err()
}

// commandLine is the parsed command line.
type commandLine struct {
	flags                *pflag.FlagSet
	usage                string
	file                 *string
	help, version, check *bool
}

func (c commandLine) mode() Mode {
	switch {
	case *c.help:
		return Help
	case *c.version:
		return Version
	case *c.check:
		return Check
	}
	return Run
}

func parseFlags(program Program, settings []*setting, args []string, faults *fault.List) commandLine {
	fs := pflag.NewFlagSet(program.Name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(io.Discard)
	names := []string{"--config", "--check", "--version", "--help"}
	for _, s := range settings {
		f := fs.VarPF(s, s.name, "", s.usage())
		if s.isBool() {
			f.NoOptDefVal = "true"
		}
		names = append(names, "--"+s.name)
	}
	c := commandLine{flags: fs}
	c.file = fs.String("config", "", "YAML `file` with settings")
	c.check = fs.Bool("check", false, "print the effective settings and exit")
	c.version = fs.Bool("version", false, "print the version and exit")
	c.help = fs.BoolP("help", "h", false, "print this text and exit")
	c.usage = usage(program, fs)
	err := fs.Parse(args)
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		*faults = append(*faults, fault.Fault{
			File: commandName, Field: "--" + unknown.GetSpecifiedName(), Message: "unknown flag",
			Hint: fault.Suggest("--"+unknown.GetSpecifiedName(), names),
		})
	} else if err != nil {
		*faults = append(*faults, fault.Fault{File: commandName, Message: err.Error()})
	}
	return c
}

func usage(program Program, fs *pflag.FlagSet) string {
	var b strings.Builder
	if program.Summary != "" {
		fmt.Fprintf(&b, "%s\n\n", program.Summary)
	}
	fmt.Fprintf(&b, "Usage:\n  %s\n\nSettings:\n", strings.TrimSpace(program.Name+" [settings] "+program.Arguments))
	const width = 110
	b.WriteString(fs.FlagUsagesWrapped(width))
	b.WriteString("\nEach setting is also an environment variable (--admin-listen: PORTCULLIS_ADMIN_LISTEN) and a key of the\n" +
		"file named by --config (admin_listen). A flag wins over the environment, the environment over the file.\n" +
		"Lists are comma-separated; their flags may be repeated.\n")
	return b.String()
}

func readEnv(settings []*setting, lookup func(string) (string, bool)) {
	for _, s := range settings {
		if text, ok := lookup(envName(s.name)); ok && text != "" {
			s.take(origin{name: "environment " + envName(s.name)}, text)
		}
	}
}

func readFlags(settings []*setting) {
	for _, s := range settings {
		if len(s.flagTexts) > 0 {
			s.take(origin{name: flagOf(s.name)}, s.flagTexts...)
		}
	}
}

// validate asks the settings themselves. What is said about a setting that has
// a fault already would be about its default, and is left out.
func validate(cfg any, settings []*setting, faults *fault.List) {
	v, ok := cfg.(interface{ Validate() error })
	if !ok {
		return
	}
	err := v.Validate()
	if err == nil {
		return
	}
	found, ok := errors.AsType[fault.List](err)
	if !ok {
		*faults = append(*faults, fault.Fault{File: "settings", Message: err.Error()})
		return
	}
	for _, f := range found {
		source, reported := origin{name: "settings"}, false
		for _, s := range settings {
			if s.name == f.Field {
				source, reported = s.source, s.faulty
			}
		}
		if !reported {
			*faults = append(*faults, source.fault(f.Field, f.Message, f.Hint))
		}
	}
}

// Print writes the effective settings as a file for --config, each with where
// its value came from, and secrets masked.
func (l *Loaded) Print(w io.Writer) error {
	for _, s := range l.settings {
		if _, err := fmt.Fprintf(w, "%s: %s # %s\n", keyName(s.name), s.yaml(), s.source); err != nil {
			return fmt.Errorf("print settings: %w", err)
		}
	}
	return nil
}

// Source is where a setting's value came from: "default", "flag --listen",
// "environment PORTCULLIS_LISTEN" or "gateway.yaml:3". Empty: no such setting.
func (l *Loaded) Source(name string) string {
	for _, s := range l.settings {
		if s.name == name {
			return s.source.String()
		}
	}
	return ""
}

// commandName is the place of what is wrong with the command line as a whole.
const commandName = "command line"

// origin is where a value comes from: "default", "flag --listen", "environment
// PORTCULLIS_LISTEN", or a file and the line in it.
type origin struct {
	name string
	line int // 0: not a file
}

func (o origin) String() string {
	if o.line == 0 {
		return o.name
	}
	return fmt.Sprintf("%s:%d", o.name, o.line)
}

// fault is what is wrong with a setting whose value comes from here. A flag names
// its setting already.
func (o origin) fault(setting, message, hint string) fault.Fault {
	f := fault.Fault{File: o.name, Line: o.line, Field: setting, Message: message, Hint: hint}
	if o.name == flagOf(setting) {
		f.Field = ""
	}
	return f
}

func flagOf(name string) string { return "flag --" + name }

func envName(name string) string {
	return "PORTCULLIS_" + strings.ToUpper(keyName(name))
}

func keyName(name string) string { return strings.ReplaceAll(name, "-", "_") }
