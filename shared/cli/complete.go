package cli

import (
	"context"
	"embed"
	"fmt"
	"io"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

//go:embed completion
var scripts embed.FS

const completeVerb = "__complete"

// Dirs is like Files, for directories.
const dirs = ":dirs"

func shells() []string { return []string{"bash", "zsh", "fish"} }

// completion prints the script for a shell, or, as the verb __complete, what may
// stand where the cursor is.
type completion struct {
	app   App
	words []string
}

func (c *completion) Run(_ context.Context, call *Call) error {
	if len(call.Args) == 0 {
		var b strings.Builder
		for _, candidate := range c.app.complete(c.words) {
			b.WriteString(candidate + "\n")
		}
		_, err := io.WriteString(call.Stdout, b.String())
		return err
	}
	shell := call.Args[0]
	text, err := scripts.ReadFile("completion/" + shell)
	if err != nil {
		return Misused("no script for the shell %q (hint: %s)", shell, fault.Suggest(shell, shells()))
	}
	_, err = io.WriteString(call.Stdout, strings.NewReplacer(
		"@program@", c.app.Name, "@function@", strings.ReplaceAll(c.app.Name, "-", "_"),
	).Replace(string(text)))
	return err
}

// complete returns what the last of the words may become, each with a tab and an
// explanation if there is one, or Files, or dirs. The words are those after the
// program's name.
func (a App) complete(words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	words, bare := joined(words)
	last := words[len(words)-1]
	v, at := a.verb(words[0]), 1
	if v == nil || len(words) == 1 {
		v, at = a.verb(a.Default), 0
	}
	var all []string
	if len(words) == 1 && !strings.HasPrefix(last, "-") {
		for _, v := range a.verbs() {
			if v.Summary != "" && v.Name != a.Default {
				all = append(all, v.Name+"\t"+v.Summary)
			}
		}
	}
	if v != nil && v.Name != completeVerb {
		all = append(all, a.completeVerb(v, words[at:], bare)...)
	}
	return matching(all, last, bare)
}

// joined puts --flag = value together, which bash takes apart. bare: what was taken
// apart was the last word, and only the value is asked for.
func joined(words []string) (whole []string, bare bool) {
	for i := 0; i < len(words); i++ {
		n := len(whole)
		isValue := words[i] == "=" && n > 0 && strings.HasPrefix(whole[n-1], "--")
		if !isValue {
			whole = append(whole, words[i])
			continue
		}
		whole[n-1] += "="
		bare = i >= len(words)-2
		if i+1 < len(words) {
			i++
			whole[n-1] += words[i]
		}
	}
	return whole, bare
}

// completeVerb completes the last word of a verb's own words.
func (a App) completeVerb(v *Verb, words []string, bare bool) []string {
	flags := config.Flags(a.program(v), v.New())
	last := words[len(words)-1]
	if name, _, ok := strings.Cut(last, "="); ok && strings.HasPrefix(last, "--") {
		if bare {
			return values(find(flags, name), "")
		}
		return values(find(flags, name), name+"=")
	}
	if strings.HasPrefix(last, "-") {
		return names(flags)
	}
	var given []string
	for i := 0; i < len(words)-1; i++ {
		f := find(flags, words[i])
		switch {
		case f != nil && !f.Bool && i == len(words)-2:
			return values(f, "")
		case f != nil && !f.Bool:
			i++
		case !strings.HasPrefix(words[i], "-"):
			given = append(given, words[i])
		}
	}
	if v.Words == nil {
		return nil
	}
	return v.Words(given)
}

// find returns the flag that a word names; nil: none.
func find(flags []config.Flag, word string) *config.Flag {
	for i, f := range flags {
		if word == "--"+f.Name || f.Short != "" && word == "-"+f.Short {
			return &flags[i]
		}
	}
	return nil
}

func names(flags []config.Flag) []string {
	all := make([]string, len(flags))
	for i, f := range flags {
		all[i] = fmt.Sprintf("--%s\t%s", f.Name, f.Help)
	}
	return all
}

func values(f *config.Flag, before string) []string {
	switch {
	case f == nil:
		return nil
	case f.File:
		return []string{Files}
	case f.Dir:
		return []string{dirs}
	case f.Bool:
		return []string{before + "true", before + "false"}
	}
	all := make([]string, len(f.Values))
	for i, value := range f.Values {
		all[i] = before + value
	}
	return all
}

// matching keeps what begins like the word.
func matching(all []string, word string, bare bool) []string {
	if bare {
		_, word, _ = strings.Cut(word, "=")
	}
	var fit []string
	for _, candidate := range all {
		if candidate == Files || candidate == dirs || strings.HasPrefix(candidate, word) {
			fit = append(fit, candidate)
		}
	}
	return fit
}
