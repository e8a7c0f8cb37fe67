package resource

import (
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"
)

// suggest is the hint for an unknown word: the nearest known one, and all of
// them if none is near. what names the sort of word: "field", "kind", "value".
func suggest(what, word string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	best, distance := known[0], 1<<30
	for _, k := range known {
		if d := distanceOf(word, k); d < distance {
			best, distance = k, d
		}
	}
	if distance <= max(1, len(best)/3) {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return fmt.Sprintf("the nearest known %s is %q; known here: %s", what, best, strings.Join(known, ", "))
}

// distanceOf compares without case and separators, so that contextPath is next to context_path.
func distanceOf(a, b string) int {
	const longest = 64 // the distance takes time in the product of the lengths
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s[:min(len(s), longest)]))
	}
	return levenshtein.ComputeDistance(fold(a), fold(b))
}
