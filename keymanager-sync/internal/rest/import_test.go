package rest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// line is one line of an import's answer.
type line struct {
	ID         string
	Chunk      int
	Resources  int
	Bytes      int64
	Skipped    bool
	Sequence   uint64
	Done       bool
	Chunks     int
	Fleet      string
	Error      string
	Status     int
	Line       int
	Errors     []struct{ Message, ID string }
	ResumeWith string `json:"resume_with"`
}

func (c *control) imported(query, body string, headers ...string) []line {
	c.t.Helper()
	a := c.must(http.StatusOK, "POST", "/v1/import"+query, body, headers...)
	var lines []line
	for text := range strings.Lines(a.body) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			c.t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		c.t.Fatal("no lines")
	}
	return lines
}

func applications(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"kind":"Application","id":"app-%05d","name":"A"}`+"\n", i)
	}
	return b.String()
}

func (c *control) count() int { return c.store.State().Len(pb.Kind_KIND_APPLICATION) }

func TestImport(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	before := c.store.State().Position().Sequence
	lines := c.imported("?id=first", applications(0, 2500), "Content-Type: application/x-ndjson")
	last := lines[len(lines)-1]
	if len(lines) != 4 || !last.Done || last.Chunks != 3 || last.Resources != 2500 || last.ID != "first" || last.Sequence != before+3 || last.Bytes == 0 {
		t.Errorf("%+v", lines)
	}
	if lines[1].Chunk != 2 || lines[1].Resources != 2000 || lines[1].Skipped {
		t.Errorf("%+v", lines[1])
	}
	if n := c.count(); n != 2500 {
		t.Errorf("%d applications", n)
	}
	// Once more: everything is in the log already.
	again := c.imported("?id=first", applications(0, 2500))
	if !again[0].Skipped || !again[2].Skipped || again[2].Sequence != last.Sequence || c.store.State().Position().Sequence != before+3 {
		t.Errorf("%+v", again)
	}
	// Under another name it is another import.
	if other := c.imported("", applications(0, 10)); other[0].Skipped || other[0].ID == "" || other[0].ID == "first" {
		t.Errorf("%+v", other)
	}
	byKey := c.imported("", applications(0, 10), "Idempotency-Key: my key")
	if got := c.imported("", applications(0, 10), "Idempotency-Key: my key"); got[0].ID != byKey[0].ID {
		t.Errorf("%+v, %+v", byKey, got)
	}
}

// TestImportOfOtherContent uses a name again for a file that has changed since.
func TestImportOfOtherContent(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.imported("?id=x", applications(0, 10))
	if lines := c.imported("?id=x", applications(10, 20)); lines[0].Skipped || c.count() != 20 {
		t.Errorf("%d applications, %+v", c.count(), lines)
	}
	if lines := c.imported("?id=x&deploy=false", applications(10, 20)); lines[0].Skipped {
		t.Errorf("%+v", lines)
	}
}

func TestImportOfLargeResources(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	var text strings.Builder
	const amount = 900
	for i := range amount {
		fmt.Fprintf(&text, `{"kind":"Application","id":"app-%d","name":"A","description":%q}`+"\n", i, strings.Repeat("x", 8000))
	}
	lines := c.imported("", text.String())
	if last := lines[len(lines)-1]; last.Chunks != 4 || last.Resources != amount {
		t.Errorf("%+v", lines)
	}
}

func TestImportFormats(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	for name, body := range map[string]string{
		"yaml":  "kind: Application\nid: a\nname: A\n---\nkind: Application\nid: b\nname: B\n",
		"array": `[{"kind":"Application","id":"c","name":"C"}, {"kind":"Application","id":"d","name":"D"}]`,
	} {
		if lines := c.imported("?id="+name, body); !lines[len(lines)-1].Done || lines[len(lines)-1].Resources != 2 {
			t.Errorf("%s: %+v", name, lines)
		}
	}
	if empty := c.imported("", ""); len(empty) != 1 || !empty[0].Done || empty[0].Resources != 0 {
		t.Errorf("%+v", empty)
	}
	c.refused(http.StatusUnsupportedMediaType, "POST", "/v1/import", "x", "Content-Type: text/csv")
}

func TestImportStopsAtABadChunk(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	bad := applications(0, 1500) + `{"kind":"Application","id":"app-bad","nam":"A"}` + "\n" + `{"kind":"Nothing"}` + "\n" + applications(1500, 1600)
	lines := c.imported("?id=x", bad)
	last := lines[len(lines)-1]
	if len(lines) != 2 || last.Error == "" || last.Status != 422 || last.Line != 1501 || last.ResumeWith != "id=x" || last.Resources != 1000 {
		t.Fatalf("%+v", lines)
	}
	if len(last.Errors) != 2 {
		t.Errorf("errors %+v", last.Errors)
	}
	if n := c.count(); n != 1000 {
		t.Errorf("%d applications: the bad chunk was applied in part", n)
	}
	mended := strings.Replace(strings.Replace(bad, `"nam":`, `"name":`, 1), `{"kind":"Nothing"}`, "", 1)
	lines = c.imported("?id=x", mended)
	last = lines[len(lines)-1]
	if !lines[0].Skipped || lines[1].Skipped || !last.Done || last.Resources != 1601 || c.count() != 1601 {
		t.Errorf("%+v", lines)
	}
}

func TestImportRefusedByTheRules(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	lines := c.imported("?id=x", applications(0, 3)+`{"kind":"Subscription","id":"s","application":"app-00001","plan":"none"}`+"\n")
	last := lines[len(lines)-1]
	if len(lines) != 1 || last.Status != 422 || last.Line != 4 || len(last.Errors) != 1 || last.Errors[0].ID != "s" || c.count() != 0 {
		t.Errorf("%+v", lines)
	}
}

// TestImportIsAStream sees progress before the body ends, and what a lost connection leaves behind.
func TestImportIsAStream(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	body, feed := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, c.url+"/v1/import?id=s", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	go io.WriteString(feed, applications(0, 1001)) //nolint:errcheck // seen by the test if it fails
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || !strings.Contains(text, `"chunk":1`) {
		t.Fatalf("%q %v", text, err)
	}
	_ = feed.CloseWithError(io.ErrClosedPipe) // the connection breaks within a chunk
	time.Sleep(100 * time.Millisecond)
	if n := c.count(); n != 1000 {
		t.Errorf("%d applications after the connection was lost", n)
	}
	lines := c.imported("?id=s", applications(0, 1500))
	if !lines[0].Skipped || lines[1].Skipped || c.count() != 1500 {
		t.Errorf("%+v", lines)
	}
}

func TestImportWaitsForTheFleet(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.beat("gw-1", 0)
	lines := c.imported("?wait=fleet&timeout=3s", applications(0, 3))
	if got := lines[len(lines)-1].Fleet; got != "pending; applied=0; behind=gw-1" {
		t.Errorf("fleet %q", got)
	}
}

func TestImportDoesNotDeployIfToldSo(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.imported("?deploy=false", seed, asYAML)
	c.must(404, "GET", "/v1/apis/orders/deployment", "")
	c.imported("", seed, asYAML)
	c.must(200, "GET", "/v1/apis/orders/deployment", "")
}
