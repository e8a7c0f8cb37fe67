package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// variable is one that a suite reads. Scripts declare them by the functions of
// lib/settings.js, as in number('RATE', 200), which is where they are found: so this
// command knows what the script knows.
type variable struct {
	name string
	// kind is the function: number, share, seconds, choice, addresses, url or required.
	kind string
	// values are the function's other arguments: the default, or of a choice all values.
	values []string
}

var declaration = regexp.MustCompile(`\b(number|share|seconds|choice|addresses|url|required)\('([A-Z0-9_]+)'((?:, [^,()]+)*)\)`)

// declared finds the variables of a suite: its own, then those of all suites.
func declared(root, suite string) ([]variable, error) {
	var all []variable
	for _, file := range []string{suite + ".js", filepath.Join("lib", "settings.js")} {
		text, err := os.ReadFile(filepath.Join(root, "loadtest", "k6", file)) //nolint:gosec // one of the suites that are here
		if err != nil {
			return nil, err
		}
		for _, m := range declaration.FindAllStringSubmatch(string(text), -1) {
			v := variable{kind: m[1], name: m[2]}
			for value := range strings.SplitSeq(m[3], ", ") {
				if value != "" {
					v.values = append(v.values, strings.Trim(value, "'"))
				}
			}
			all = append(all, v)
		}
	}
	return all, nil
}

// checkVariables reports names given on the command line that the suite does not
// know, and values that make no sense, all at once. k6 knows those that begin with K6_.
func checkVariables(known []variable, given, environ []string) error {
	names := make([]string, len(known))
	for i, v := range known {
		names[i] = v.name
	}
	var faults fault.List
	for _, entry := range given {
		name, _, ok := strings.Cut(entry, "=")
		switch {
		case !ok || name == "":
			faults = append(faults, fault.Fault{Message: fmt.Sprintf("%q is not of the form NAME=VALUE", entry)})
		case !slices.Contains(names, name) && !strings.HasPrefix(name, "K6_"):
			faults = append(faults, fault.Fault{Field: name, Message: "the suite has no such variable", Hint: fault.Suggest(name, names)})
		}
	}
	for _, v := range known {
		if text := lookup(environ, v.name); text != "" {
			if message, hint := v.judge(text); message != "" {
				faults = append(faults, fault.Fault{Field: v.name, Message: message, Hint: hint})
			}
		}
	}
	return faults.Err()
}

var durations = regexp.MustCompile(`^(\d+(\.\d+)?(ms|s|m|h))+$`)

// judge returns what is wrong with a value that is not empty, and the cure.
func (v variable) judge(text string) (message, hint string) {
	switch v.kind {
	case "number", "share":
		return judgeNumber(text, v.kind == "share")
	case "seconds":
		if !durations.MatchString(text) {
			return text + " is not a duration", "30s, 5m, 1h30m"
		}
	case "choice":
		if !slices.Contains(v.values, text) {
			return text + " is not one of " + strings.Join(v.values, ", "), fault.DidYouMean(text, v.values)
		}
	case "addresses", "url":
		return judgeAddresses(text)
	}
	return "", ""
}

func judgeNumber(text string, share bool) (message, hint string) {
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || n <= 0 || n > 1e12:
		return text + " is not a number above 0", ""
	case share && n > 1:
		return text + " is not a share", "above 0 and at most 1"
	}
	return "", ""
}

func judgeAddresses(list string) (message, hint string) {
	for address := range strings.SplitSeq(list, ",") {
		if u, err := url.Parse(strings.TrimSpace(address)); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
			return "not the URL of something on HTTP", "http://host:port" // not what it is: it may hold a password
		}
	}
	return "", ""
}

// printTarget says what a run is about to do, and to whom.
func printTarget(w io.Writer, suite string, known []variable, environ []string) {
	fmt.Fprintf(w, "%-12s %s\n", "suite", suite)
	for _, v := range known {
		text := lookup(environ, v.name)
		switch {
		case v.kind == "required" && text != "": // a secret
			text = "(set)"
		case v.kind == "addresses" || v.kind == "url":
			text = withoutPasswords(text)
		case text == "" && len(v.values) > 0:
			text = v.values[0] + " (default)"
		}
		if text != "" {
			fmt.Fprintf(w, "%-12s %s\n", v.name, text)
		}
	}
	fmt.Fprintln(w)
}

// withoutPasswords shortens user:password@ in a list of URLs.
func withoutPasswords(list string) string {
	if list == "" {
		return ""
	}
	var shown []string
	for address := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(address))
		if err != nil {
			continue // refused before
		}
		shown = append(shown, u.Redacted())
	}
	return strings.Join(shown, ",")
}
