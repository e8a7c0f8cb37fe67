package fault

import (
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"
)

const (
	// longestWord bounds what is compared, in bytes: the time it takes grows with
	// the product of the lengths.
	longestWord = 64
	// longestList bounds the words that a hint lists.
	longestList = 40
)

// Nearest returns the one of known that looks most like word, and whether it is
// near enough to be what was meant. Case, "-" and "_" make no difference, so that
// contextPath is next to context_path. It is empty if nothing is known.
func Nearest(word string, known []string) (nearest string, near bool) {
	distance := 0
	folded := fold(word)
	for _, k := range known {
		if d := levenshtein.ComputeDistance(folded, fold(k)); nearest == "" || d < distance {
			nearest, distance = k, d
		}
	}
	return nearest, nearest != "" && distance <= max(1, len(nearest)/3)
}

// DidYouMean is the hint for a name that does not exist: `did you mean "gold"?`;
// empty if no known one is near.
func DidYouMean(name string, known []string) string {
	nearest, near := Nearest(name, known)
	if !near {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", nearest)
}

// Suggest is the hint where only known words are allowed: `did you mean "status"?`,
// or, if none is near, the nearest one and all of them. Empty if none is known.
func Suggest(word string, known []string) string {
	nearest, near := Nearest(word, known)
	switch {
	case nearest == "":
		return ""
	case near:
		return fmt.Sprintf("did you mean %q?", nearest)
	}
	list := strings.Join(known[:min(len(known), longestList)], ", ")
	if more := len(known) - longestList; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("the nearest known one is %q; known here: %s", nearest, list)
}

func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s[:min(len(s), longestWord)]))
}
