package cause

import (
	"regexp"
	"testing"
)

// Words are labels of metrics, and one is for one cause.
func TestWords(t *testing.T) {
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[string]Cause{}
	for c := range Count {
		if !word.MatchString(c.String()) || c.Meaning() == "" {
			t.Errorf("cause %d is %q: %q", c, c, c.Meaning())
		}
		if other, ok := seen[c.String()]; ok {
			t.Errorf("causes %d and %d are both %s", other, c, c)
		}
		seen[c.String()] = c
	}
	for _, c := range []Cause{Count, 255} {
		if c.String() != Unspecified.String() || c.Meaning() != Unspecified.Meaning() {
			t.Errorf("%d is %s", c, c)
		}
	}
}
