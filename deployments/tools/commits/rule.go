package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// longestSubject is in characters: what git log and GitHub show without cutting.
const longestSubject = 72

var (
	// A package or folder, or several: `gateway/edge, proxy: …`.
	subjectForm = regexp.MustCompile(`^[a-z0-9.][\w./*-]*(, ?[\w./*-]+)*: (\S+)`)
	// What git itself writes.
	revert = regexp.MustCompile(`^Revert ".+"$`)
	// `Signed-off-by: …`, `Co-authored-by: …`: not a reason.
	trailer = regexp.MustCompile(`^[A-Z][A-Za-z]*(-[A-Za-z]+)+: `)
)

// imperative reports whether a word is not one of the forms that people write by
// habit instead.
func imperative(word string) bool {
	switch strings.ToLower(word) {
	case "adding", "adds", "added", "changed", "changes", "changing", "fixed", "fixes", "fixing", "implemented", "implements",
		"improved", "improves", "improving", "introduced", "introduces", "made", "makes", "making", "moved", "moves", "moving",
		"refactored", "refactors", "removed", "removes", "removing", "renamed", "renames", "updated", "updates", "updating":
		return false
	}
	return true
}

// check returns what is wrong with a commit's message.
func check(message string) []string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	faults := checkSubject(strings.TrimSpace(lines[0]))
	switch body := lines[1:]; {
	case len(body) > 0 && strings.TrimSpace(body[0]) != "":
		faults = append(faults, "the second line is not blank")
	case !slices.ContainsFunc(body, saysWhy):
		faults = append(faults, "no body that says why")
	}
	return faults
}

func checkSubject(subject string) []string {
	var faults []string
	if n := utf8.RuneCountInString(subject); n > longestSubject {
		faults = append(faults, fmt.Sprintf("the subject has %d characters, at most %d are shown whole", n, longestSubject))
	}
	if strings.HasSuffix(subject, ".") {
		faults = append(faults, "the subject ends with a full stop")
	}
	form := subjectForm.FindStringSubmatch(subject)
	if form == nil {
		if !revert.MatchString(subject) {
			faults = append(faults, "the subject is not `package: what it does`")
		}
		return faults
	}
	if word := form[2]; !imperative(word) {
		faults = append(faults, fmt.Sprintf("%q is not imperative: say what the commit does, as an order", word))
	}
	return faults
}

func saysWhy(line string) bool {
	return strings.TrimSpace(line) != "" && !trailer.MatchString(line)
}

// checkDraft checks a message as an editor leaves it, with git's comments. What git
// will fold into another commit needs no separate message.
func checkDraft(text string) error {
	text, _, _ = strings.Cut(text, "\n# ------------------------ >8 ------------------------")
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	message := strings.Join(lines, "")
	for _, prefix := range []string{"fixup! ", "squash! ", "amend! ", "Merge "} {
		if strings.HasPrefix(message, prefix) {
			return nil
		}
	}
	faults := check(message)
	if len(faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(faults, "\ncommits: ") + "\ncommits: the rule is in CONTRIBUTING.md, section Commits")
}
