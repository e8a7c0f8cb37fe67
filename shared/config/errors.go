package config

import (
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Error is one thing that is wrong with the settings.
type Error struct {
	// Source is where the value came from: "gateway.yaml:3", "flag --listen".
	Source string
	// Key is the setting, such as "admin-listen"; empty: the fault is not one setting's.
	Key     string
	Message string
	// Hint is the cure.
	Hint string
}

// Error is "gateway.yaml:3: listen: message (hint: …)", on one line.
func (f Error) Error() string {
	s := f.Source + ": "
	if f.Key != "" && !strings.HasSuffix(f.Source, "--"+f.Key) {
		s += f.Key + ": "
	}
	s += f.Message
	if f.Hint != "" {
		s += " (hint: " + f.Hint + ")"
	}
	return s
}

// Errors are all that is wrong; never empty when returned as an error.
type Errors []Error

// Error has one line for each fault.
func (fs Errors) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Problem is what a Validate method finds wrong with a setting; Load adds where
// the value came from.
type Problem struct {
	// Setting is its name: "admin-listen".
	Setting string
	Message string
	// Hint is the cure, if there is an obvious one.
	Hint string
}

// Problems are all problems at once; never empty when returned as an error.
type Problems []Problem //nolint:errname // they become Errors when their sources are known

// Error has one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.at("settings").Error()
	}
	return strings.Join(lines, "\n")
}

func (p Problem) at(source string) Error {
	return Error{Source: source, Key: p.Setting, Message: p.Message, Hint: p.Hint}
}

// nearest is the hint for an unknown word.
func nearest(word string, known []string, prefix string) string {
	const longest = 64 // the distance takes time in the product of the lengths
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s[:min(len(s), longest)]))
	}
	best, distance := "", 1<<30
	for _, k := range known {
		if d := levenshtein.ComputeDistance(fold(word), fold(k)); d < distance {
			best, distance = k, d
		}
	}
	if distance <= max(1, len(best)/3) {
		return fmt.Sprintf("did you mean %s%s?", prefix, best)
	}
	return fmt.Sprintf("the nearest known one is %s%s; --help lists all", prefix, best)
}
