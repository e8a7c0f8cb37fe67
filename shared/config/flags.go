package config

// Flag is one flag of a command line, as a shell needs it to complete words.
type Flag struct {
	// Name has no dashes; Short is one letter or empty.
	Name, Short string
	Help        string
	// Bool: no value follows.
	Bool bool
	// Values are the only ones; empty: any.
	Values []string
	// File, Dir: the value is the path of one.
	File, Dir bool
}

// Flags lists the flags that Load would read into cfg.
func Flags(program Program, cfg any) []Flag {
	var flags []Flag
	for _, s := range describe(cfg) {
		if s.use == useEnvironment {
			continue
		}
		flags = append(flags, Flag{
			Name: s.name, Short: s.short, Help: s.help, Bool: s.isBool(), Values: s.enum,
			File: s.rule == "file" || s.rule == "input", Dir: s.rule == "dir",
		})
	}
	if !program.Short {
		flags = append(flags, Flag{Name: "config", Help: "YAML file with settings", File: true},
			Flag{Name: "check", Help: "check all settings, print the effective ones, and exit", Bool: true})
	}
	return append(flags, Flag{Name: "version", Help: "print the version and exit", Bool: true},
		Flag{Name: "help", Short: "h", Help: "print this text and exit", Bool: true})
}

// Names lists the settings of cfg that the environment may hold too.
func Names(cfg any) []string {
	var names []string
	for _, s := range describe(cfg) {
		if s.use != useFlag {
			names = append(names, s.name)
		}
	}
	return names
}
