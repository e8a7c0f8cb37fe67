// Package faults_test proves the product from outside: it builds the programs,
// runs them as processes of their own, talks HTTP to them, kills them, and looks
// at what is left.
//
// In the tests that CI runs the numbers are small. PORTCULLIS_FAULTS=full makes
// them those of the promises: 1,000 toggles, 20 kills. Single numbers are set by
// PORTCULLIS_FAULTS_TOGGLES, _AWAITED, _GATEWAYS (of the toggles), _KILLS,
// _SUDDEN (ends) and _CONSUMERS (of the gateway that ends so); _P99
// sets the bound of the toggles, such as 50ms, and _RESULT a file for their figures.
package faults_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// root is the source tree, seen from this folder.
const root = "../.."

// full reports whether the tests run with as many writes and kills as the documents promise.
func full() bool { return os.Getenv("PORTCULLIS_FAULTS") == "full" }

// count is how often something is done.
func count(t *testing.T, name string, small, whole int) int {
	t.Helper()
	name = "PORTCULLIS_FAULTS_" + name
	text, given := os.LookupEnv(name)
	switch {
	case given:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is not a number above 0", name, text)
		}
		return n
	case full():
		return whole
	}
	return small
}

// contains is an error that names what is missing in a text.
func contains(text string, wanted ...string) error {
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			return fmt.Errorf("no %q in %q", w, text)
		}
	}
	return nil
}
