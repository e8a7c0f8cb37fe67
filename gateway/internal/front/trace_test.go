package front

import (
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// TestParentOf has the examples and the rules of W3C Trace Context section 3.2.
func TestParentOf(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for value, want := range map[string]string{
		"00-" + id + "-" + span + "-01":                      id + " " + span + " true",
		"00-" + id + "-" + span + "-00":                      id + " " + span + " false",
		"00-" + id + "-" + span + "-02":                      id + " " + span + " false",
		"00-" + id + "-" + span + "-ff":                      id + " " + span + " true",
		"cc-" + id + "-" + span + "-01":                      id + " " + span + " true",
		"cc-" + id + "-" + span + "-01-what-the-future-has":  id + " " + span + " true",
		"cc-" + id + "-" + span + "-01.what":                 "",
		"ff-" + id + "-" + span + "-01":                      "",
		"00-" + id + "-" + span + "-01-more":                 "",
		"00-" + id + "-" + span:                              "",
		"00-" + id + "-" + span + "-1":                       "",
		"00-" + strings.ToUpper(id) + "-" + span + "-01":     "",
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01": "",
		"00-" + id + "-" + strings.Repeat("0", 16) + "-01":   "",
		"00-" + id + "-" + strings.ToUpper(span) + "-01":     "",
		"00_" + id + "_" + span + "_01":                      "",
		"00-" + id + "-" + span + "-0g":                      "",
		"00-" + id + "-" + span + "-01\r\ntraceparent: x":    "",
		"": "",
	} {
		var b request.Block
		if err := b.Parse([]byte("Traceparent: " + value + "\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		got := ""
		if p, ok := parentOf(&b); ok {
			got = string(p.traceID) + " " + string(p.spanID) + " false"
			if p.sampled() {
				got = string(p.traceID) + " " + string(p.spanID) + " true"
			}
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

// FuzzParentOf: what is taken for a parent is one that any reader of the
// specification takes for the same.
func FuzzParentOf(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")
	f.Fuzz(func(t *testing.T, value string) {
		var b request.Block
		if b.Parse([]byte("traceparent: "+value+"\r\n\r\n")) != nil {
			return
		}
		p, ok := parentOf(&b)
		if !ok {
			return
		}
		value = strings.Trim(value, " \t")
		if !strings.HasPrefix(value[2:], "-"+string(p.traceID)+"-"+string(p.spanID)+"-"+string(p.flags)) || strings.HasPrefix(value, "ff") ||
			len(p.traceID) != 32 || len(p.spanID) != 16 || strings.Trim(string(p.traceID), "0123456789abcdef") != "" {
			t.Errorf("%q is read as %s %s %s", value, p.traceID, p.spanID, p.flags)
		}
	})
}

func TestStateOf(t *testing.T) {
	for fields, want := range map[string]string{
		"":                        "",
		"tracestate: a=1,b=2\r\n": "a=1,b=2",
		"tracestate: a=1\r\nX: y\r\nTraceState: b=2\r\n": "a=1,b=2",
		"tracestate:\r\n":                                    "",
		"tracestate: a=\xc3\xa4\r\n":                         "",
		"tracestate: a=" + strings.Repeat("x", 511) + "\r\n": "",
	} {
		var b request.Block
		if err := b.Parse([]byte(fields + "\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := string(stateOf(&b)); got != want {
			t.Errorf("%q: got %q, want %q", fields, got, want)
		}
	}
}
