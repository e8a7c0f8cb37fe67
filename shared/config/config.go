package config

import (
	"errors"
	"fmt"
	"io"
	"slices"
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
	// More is what the usage text says after its first lines, such as the verbs.
	More string
	// Short leaves out --config and --check: for a verb that asks or does one thing
	// and ends.
	Short bool
}

// Source is where settings come from besides their defaults.
type Source struct {
	// Args are the command line's words after the program's name (and verb).
	Args []string
	// LookupEnv is os.LookupEnv; nil: there is no environment.
	LookupEnv func(string) (string, bool)
	// Environ is os.Environ, where variables are looked for that no program knows;
	// nil: they are not looked for.
	Environ func() []string
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
	Usage string
	// Warnings are faults that do not keep a program from running: variables of the
	// environment that begin with PORTCULLIS_ and that no program knows. With the
	// mode Check they are faults.
	Warnings fault.List
	settings []*setting
}

// Load fills *cfg, a pointer to a struct that holds the defaults. If *cfg has a
// method Take(args []string), that gets the positional arguments. If it has a method
// Validate() error, that is asked next: it returns a fault.List whose Fields are
// names of settings, and Load adds where their values came from; in the mode Check a method Check() error as
// well, which may look at files. The error is a fault.List with everything that is
// wrong. With the modes Help and Version nothing but the command line is looked at.
func Load(program Program, cfg any, from Source) (*Loaded, error) {
	settings := describe(cfg)
	l := &Loaded{settings: settings}
	var faults fault.List
	line := parseFlags(program, settings, from.Args, &faults)
	l.Args, l.Usage, l.Mode = line.args, line.usage, line.mode
	if l.Mode == Help || l.Mode == Version {
		return l, nil
	}
	if !program.Short {
		readNamedFile(line.file, settings, from, &faults)
	}
	if from.LookupEnv != nil {
		readEnv(settings, from.LookupEnv)
	}
	readFlags(settings)
	for _, s := range settings {
		s.resolve(&faults)
	}
	for _, s := range settings {
		s.check(l.Mode == Check, &faults)
	}
	if t, ok := cfg.(interface{ Take(args []string) }); ok {
		t.Take(l.Args)
	}
	if v, ok := cfg.(interface{ Validate() error }); ok {
		report(v.Validate(), settings, &faults)
	}
	if v, ok := cfg.(interface{ Check() error }); ok && l.Mode == Check {
		report(v.Check(), settings, &faults)
	}
	if from.Environ != nil {
		l.Warnings = unknownVariables(from.Environ(), settings)
	}
	if l.Mode == Check {
		faults = append(faults, l.Warnings...)
	}
	return l, faults.Err()
}

// readNamedFile takes the settings of the file that --config or the environment names.
func readNamedFile(file string, settings []*setting, from Source, faults *fault.List) {
	by := origin{name: flagOf("config")}
	if file == "" && from.LookupEnv != nil {
		file, _ = from.LookupEnv(envName("config"))
		by = origin{name: "environment " + envName("config")}
	}
	if file != "" {
		readFile(file, by, settings, from, faults)
	}
}

// commandLine is the parsed command line.
type commandLine struct {
	args, names []string
	usage, file string
	mode        Mode
}

// parseFlags reads the command line to its end: an unknown flag is reported and left out.
func parseFlags(program Program, settings []*setting, args []string, faults *fault.List) commandLine {
	for {
		for _, s := range settings {
			s.flagTexts = nil
		}
		c, err := parseOnce(program, settings, args)
		if err == nil {
			return c
		}
		unknown, ok := errors.AsType[*pflag.NotExistError](err)
		if !ok {
			*faults = append(*faults, fault.Fault{File: commandName, Message: err.Error()})
			return c
		}
		name := unknown.GetSpecifiedName()
		f := fault.Fault{File: commandName, Field: "--" + name, Message: "unknown flag", Hint: fault.Suggest("--"+name, c.names)}
		if letters := unknown.GetSpecifiedShortnames(); letters != "" {
			f.Field = "-" + name
		}
		*faults = append(*faults, f)
		args = without(args, f.Field)
	}
}

// without leaves out a flag that is not known, and the word after it that may be
// its value. There is always one, or the parser would not have stopped at it.
func without(args []string, flag string) []string {
	at := slices.IndexFunc(args, func(arg string) bool {
		if strings.HasPrefix(flag, "--") {
			return arg == flag || strings.HasPrefix(arg, flag+"=")
		}
		return strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.Contains(arg, flag[1:])
	})
	if at < 0 {
		return nil
	}
	end := at + 1
	if args[at] == flag && end < len(args) && !strings.HasPrefix(args[end], "-") {
		end++
	}
	return slices.Concat(args[:at], args[end:])
}

func parseOnce(program Program, settings []*setting, args []string) (c commandLine, err error) {
	fs := pflag.NewFlagSet(program.Name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(io.Discard)
	for _, s := range settings {
		if s.use == useEnvironment {
			continue
		}
		f := fs.VarPF(s, s.name, s.short, s.usage())
		if s.isBool() {
			f.NoOptDefVal = "true"
		}
	}
	var file string
	var help, version, check bool
	if !program.Short {
		fs.StringVar(&file, "config", "", "YAML `file` with settings")
		fs.BoolVar(&check, "check", false, "check all settings, print the effective ones, and exit")
	}
	fs.BoolVar(&version, "version", false, "print the version and exit")
	fs.BoolVarP(&help, "help", "h", false, "print this text and exit")
	c.usage = usage(program, fs)
	fs.VisitAll(func(f *pflag.Flag) { c.names = append(c.names, "--"+f.Name) })
	err = fs.Parse(args)
	c.args, c.file = fs.Args(), file
	switch {
	case help:
		c.mode = Help
	case version:
		c.mode = Version
	case check:
		c.mode = Check
	}
	return c, err
}

func usage(program Program, fs *pflag.FlagSet) string {
	var b strings.Builder
	if program.Summary != "" {
		fmt.Fprintf(&b, "%s\n\n", program.Summary)
	}
	words := "[settings]"
	if program.Short {
		words = "[flags]"
	}
	fmt.Fprintf(&b, "Usage:\n  %s\n", strings.TrimSpace(program.Name+" "+words+" "+program.Arguments))
	if program.More != "" {
		fmt.Fprintf(&b, "\n%s", program.More)
	}
	const width = 110
	if program.Short {
		b.WriteString("\nFlags:\n" + fs.FlagUsagesWrapped(width))
		return b.String()
	}
	b.WriteString("\nSettings:\n" + fs.FlagUsagesWrapped(width))
	b.WriteString("\nEach setting is also an environment variable (--admin-listen: PORTCULLIS_ADMIN_LISTEN) and a key of the\n" +
		"file named by --config (admin_listen). A flag wins over the environment, the environment over the file.\n" +
		"Lists are comma-separated; their flags may be repeated.\n")
	return b.String()
}

func readEnv(settings []*setting, lookup func(string) (string, bool)) {
	for _, s := range settings {
		if text, ok := lookup(envName(s.name)); ok && text != "" && s.use != useFlag {
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

// report adds what the settings themselves have found. What is said about a setting
// that has a fault already would be about its default, and is left out.
func report(err error, settings []*setting, faults *fault.List) {
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
// its value came from. Secrets are masked, and so is what URLs hold before an @.
func (l *Loaded) Print(w io.Writer) error {
	for _, s := range l.settings {
		if s.use == useFlag {
			continue
		}
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

// commandName stands for a setting in faults of the command line as a whole.
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
	return prefix + strings.ToUpper(keyName(name))
}

func keyName(name string) string { return strings.ReplaceAll(name, "-", "_") }
