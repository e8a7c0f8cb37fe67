package resource_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// scan gives "id@line" or the fault's text of everything in a stream.
func scan(t *testing.T, r io.Reader) []string {
	t.Helper()
	var got []string
	for s := resource.NewScanner("f", r); ; {
		doc, err := s.Next()
		switch {
		case errors.Is(err, io.EOF):
			return got
		case err != nil:
			got = append(got, err.Error())
			if _, ok := errors.AsType[fault.List](err); !ok {
				return got
			}
		default:
			got = append(got, fmt.Sprintf("%s@%d", doc.Resource.GetId(), doc.Line))
		}
	}
}

func TestScanner(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"empty":          {"", nil},
		"comments":       {"# nothing\n---\n# here\n...\n", nil},
		"yaml":           {"# head\nkind: Api\nid: a\n--- # next\nkind: Api\nid: b\n...\n---\n---\nkind: Api\nid: c", []string{"a@2", "b@5", "c@10"}},
		"yaml on marker": {"--- {kind: Api, id: a}\n--- {kind: Api, id: b}\n", []string{"a@1", "b@2"}},
		"yaml crlf":      {"---\r\nkind: Api\r\nid: a\r\n---\r\nkind: Api\r\nid: b\r\n", []string{"a@2", "b@5"}},
		"yaml bom":       {"\uFEFFkind: Api\nid: a\n", []string{"a@1"}},
		"yaml block":     {"kind: Api\nid: a\ndescription: |\n  ---\n  text\n--- \nkind: Api\nid: b", []string{"a@1", "b@7"}},
		"yaml flow":      {"{kind: Api, id: a}\n", []string{"a@1"}},
		"yaml goes on":   {"kind: Api\nid: 5\n---\nkind: Api\nid: b\n", []string{`f:2: api: id: expected text, got the number 5 (hint: write it in quotes: "5")`, "b@4"}},
		"ndjson":         {"{\"kind\":\"Api\",\"id\":\"a\"}\n{\"kind\":\"Api\",\"id\":\"b\"}\n", []string{"a@1", "b@2"}},
		"json bom":       {"\uFEFF{\"kind\":\"Api\",\"id\":\"a\"}", []string{"a@1"}},
		"json together":  {`{"kind":"Api","id":"a}"}{"kind":"Api","id":"\"{"}` + "\n---\n" + `{"kind":"Api","id":"c"}`, []string{"a}@1", `"{@1`, "c@3"}},
		"json array":     {"\n [\n{\"kind\":\"Api\",\"id\":\"a\"} ,\n {\"kind\":\"Api\",\"id\":\"b\"}\n]\n", []string{"a@3", "b@4"}},
		"json empty":     {"[]", nil},
		"json goes on":   {"{\"kind\":\"Api\",\"idd\":\"a\"}\n{\"kind\":\"Api\",}\n{\"kind\":\"Api\",\"id\":\"b\"}", []string{`f:1: api: idd: unknown field (hint: did you mean "id"?)`, "f:2: not JSON: invalid character '}' looking for beginning of object key string", "b@3"}},
		"json comma":     {`[{"kind":"Api","id":"a"},]`, []string{"a@1", `f:1: expected a JSON object, got ']'`}},
		"json nonsense":  {`{"kind":"Api","id":"a"} 7 {"kind":"Api","id":"b"}`, []string{"a@1", `f:1: expected a JSON object, got '7'`}},
		"two arrays":     {`[{"kind":"Api","id":"a"}][]`, []string{"a@1", `f:1: there is something after the array`}},
	} {
		for how, r := range map[string]io.Reader{
			"at once": strings.NewReader(tc.text), "byte by byte": iotest.OneByteReader(strings.NewReader(tc.text)),
		} {
			if d := cmp.Diff(tc.want, scan(t, r)); d != "" {
				t.Errorf("%s, %s: %s", name, how, d)
			}
		}
	}
}

func TestScannerReaderFails(t *testing.T) {
	broken := errors.New("the line is cut")
	for _, text := range []string{`{"kind":"Api","id":"a"}` + "\n{", "kind: Api\nid: a\n---\nkind: A", ""} {
		s := resource.NewScanner("f", io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)))
		var err error
		for n := 0; err == nil && n < 3; n++ {
			_, err = s.Next()
		}
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "read f: ") {
			t.Errorf("%q: got %v", text, err)
		}
		if _, again := s.Next(); !errors.Is(again, broken) {
			t.Errorf("%q: then %v", text, again)
		}
	}
}

// repeat gives the same text n times (below 0: without end) without holding it n times.
func repeat(text string, n int) io.Reader {
	return &repeater{text: text, left: n}
}

type repeater struct {
	text    string
	left, i int
}

func (r *repeater) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.i:])
	if r.i += n; r.i == len(r.text) {
		r.i = 0
		r.left--
	}
	return n, nil
}

func TestScannerMemoryIsBounded(t *testing.T) {
	const n = 10_000
	line := `{"kind":"Application","id":"a","description":"` + strings.Repeat("x", 1000) + `"}` + "\n"
	s := resource.NewScanner("f", repeat(line, n))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		if _, err := s.Next(); err != nil {
			t.Fatalf("document %d: %v", i, err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d bytes are held after %d documents", grown, n)
	}
	runtime.KeepAlive(s)
}

const smallJSON = `{"kind":"Subscription","id":"app-000001-plan-01","application":"app-000001","plan":"plan-01","status":"ACCEPTED"}` + "\n"

const smallYAML = "kind: Subscription\nid: app-000001-plan-01\napplication: app-000001\nplan: plan-01\nstatus: ACCEPTED\n---\n"
