// Package cli is the command line of every program: verbs with their flags and
// settings, help, version, shell completion, tables, and exit codes that mean the
// same everywhere.
//
// A program is an App with verbs. A verb is a struct whose fields are its flags and
// settings, read by package config, and whose method Run does the work:
//
//	type get struct {
//		cli.Output
//		Filter []string `setting:"filter" use:"flag" elements:"whole" help:"…"`
//	}
//
//	func (g *get) Run(ctx context.Context, call *cli.Call) error { … }
//
// Data goes to standard output, messages to standard error.
package cli
