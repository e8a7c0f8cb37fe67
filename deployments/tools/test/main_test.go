package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const events = `{"Action":"run","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"    good.go:1: all is well\n"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"    bad.go:1: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"output","Package":"p","Test":"TestLate","Output":"    late.go:1: waiting\n"}
{"Action":"output","Package":"p","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p","Elapsed":1.5}
{"Action":"output","Package":"q","Output":"-test.shuffle 42\n"}
{"Action":"skip","Package":"q","Test":"TestSkip"}
{"Action":"pass","Package":"q","Elapsed":0.1}
{"Action":"build-output","ImportPath":"r","Output":"r.go:1: undefined: x\n"}
`
	var out strings.Builder
	r := report{out: &out, printed: make(map[string]*strings.Builder), tests: make(map[string]int)}
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	r.summary()
	got := out.String()
	for _, want := range []string{
		"got 1, want 2", "waiting", "panic: test timed out", "FAIL p ", "ok   q ", "-shuffle=42",
		"r.go:1: undefined: x", "skipped q TestSkip", "1 tests passed, 1 failed, 1 skipped\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report does not say %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "all is well") {
		t.Errorf("the report shows what a passing test printed:\n%s", got)
	}
}

func TestFailureOfGoTest(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"./no-such-folder"}, &out); err == nil {
		t.Errorf("go test failed and nobody noticed: %s", out.String())
	}
}
