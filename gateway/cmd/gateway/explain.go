package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/portcullis-gateway/portcullis/shared/cli"
)

// Exit statuses of explain, besides cli.Done for a request that is allowed.
const (
	exitRefused = 1
	exitUnknown = 2 // the node could not be asked
)

const (
	explainTimeout = 15 * time.Second
	maxExplanation = 4 << 20
)

// question is what a node is asked; see its POST /explain.
type question struct {
	Method  string              `json:"method,omitempty"`
	URL     string              `json:"url"`
	Headers map[string][]string `json:"headers,omitempty"`
	Token   string              `json:"token,omitempty"`
	Client  string              `json:"client,omitempty"`
	// Certificate is in PEM.
	Certificate string `json:"certificate,omitempty"`
}

// explanation is what a node answers, and what -o json prints.
type explanation struct {
	Allowed     bool   `json:"allowed"`
	Reason      string `json:"reason,omitempty"`
	Cause       string `json:"cause,omitempty"`
	Meaning     string `json:"meaning,omitempty"`
	API         string `json:"api,omitempty"`
	Plan        string `json:"plan,omitempty"`
	Application string `json:"application,omitempty"`
	Sequence    uint64 `json:"sequence,omitempty"`
	Steps       []struct {
		Step    string            `json:"step"`
		Plan    string            `json:"plan,omitempty"`
		Outcome string            `json:"outcome"`
		Cause   string            `json:"cause,omitempty"`
		Detail  map[string]string `json:"detail,omitempty"`
	} `json:"steps"`
	// Request is the one that was asked about by its id.
	Request *pastRequest `json:"request,omitempty"`
	Error   string       `json:"error,omitempty"`
}

// pastRequest is what a node has kept of a refused request.
type pastRequest struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Status int       `json:"status"`
	Method string    `json:"method,omitempty"`
	Host   string    `json:"host,omitempty"`
	Path   string    `json:"path,omitempty"`
	Client string    `json:"client,omitempty"`
}

// explain asks a running node how it would decide about a request.
type explain struct {
	cli.Output
	Admin       string   `setting:"admin" use:"flag" check:"url http https" help:"address of the node's admin listener"`
	Method      string   `setting:"method" use:"flag" help:"the request's method"`
	URL         string   `setting:"url" use:"flag" help:"the request's URL, as a client would write it"`
	Headers     []string `setting:"header" use:"flag" elements:"whole" secret:"true" value:"'Name: value'" help:"a header field; may be repeated"`
	Token       string   `setting:"token" use:"flag" secret:"true" help:"send it as Authorization: Bearer; - reads it from standard input"`
	Client      string   `setting:"client" use:"flag" help:"the client's address"`
	RequestID   string   `setting:"request-id" use:"flag" help:"in place of a request: the X-Request-Id of one that the node has refused"`
	Certificate string   `setting:"certificate" use:"flag" check:"file" help:"PEM file with the client's TLS certificate"`
}

func newExplain() *explain {
	return &explain{Output: cli.Output{Format: cli.Text}, Admin: "http://127.0.0.1:9090", Method: http.MethodGet}
}

// Take gives an address without a scheme the usual one.
func (e *explain) Take([]string) {
	if !strings.Contains(e.Admin, "://") {
		e.Admin = "http://" + e.Admin
	}
}

// Run asks and prints. That a request is refused is no fault, and has a status only.
func (e *explain) Run(ctx context.Context, call *cli.Call) error {
	answer, title, err := e.ask(ctx, call)
	if err != nil {
		return err
	}
	if e.JSON() {
		err = cli.WriteJSON(call.Stdout, answer)
	} else {
		err = answer.print(call.Stdout, title)
	}
	switch {
	case err != nil:
		return &cli.StatusError{Status: exitUnknown, Err: fmt.Errorf("print: %w", err)}
	case !answer.Allowed:
		return &cli.StatusError{Status: exitRefused}
	}
	return nil
}

// ask asks the node. title is what the answer is about, for people.
func (e *explain) ask(ctx context.Context, call *cli.Call) (answer *explanation, title string, err error) {
	if e.RequestID != "" {
		if e.URL != "" || e.Token != "" || len(e.Headers) > 0 || e.Client != "" || e.Certificate != "" {
			return nil, "", cli.Misused("--request-id asks about a request that has been; leave the flags that describe one out")
		}
		answer, err = askNode(ctx, http.MethodGet, e.Admin, "/explain?request_id="+url.QueryEscape(e.RequestID), nil)
		title = answer.pastTitle()
	} else {
		q, misuse := e.question(call.Stdin)
		if misuse != nil {
			return nil, "", misuse
		}
		body, broken := json.Marshal(q)
		if broken != nil {
			return nil, "", fmt.Errorf("write the question: %w", broken)
		}
		answer, err = askNode(ctx, http.MethodPost, e.Admin, "/explain", body)
		title = q.title()
	}
	if err != nil {
		return nil, "", &cli.StatusError{Status: exitUnknown, Err: err}
	}
	return answer, title, nil
}

// question makes the flags what a node is asked.
func (e *explain) question(stdin io.Reader) (question, error) {
	q := question{Method: e.Method, URL: e.URL, Token: e.Token, Client: e.Client}
	if q.URL == "" {
		return q, cli.Misused("--url or --request-id is needed")
	}
	for _, line := range e.Headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return q, cli.Misused("--header: write 'Name: value'") // not what it is: it may be a secret
		}
		if q.Headers == nil {
			q.Headers = map[string][]string{}
		}
		q.Headers[name] = append(q.Headers[name], strings.TrimSpace(value))
	}
	if e.Certificate != "" {
		text, err := os.ReadFile(e.Certificate)
		if err != nil {
			return q, cli.Misused("--certificate: %v", err)
		}
		q.Certificate = string(text)
	}
	if q.Token == "-" {
		text, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
		if err != nil {
			return q, cli.Misused("--token: read standard input: %v", err)
		}
		q.Token = strings.TrimSpace(string(text))
	}
	return q, nil
}

func askNode(ctx context.Context, method, admin, path string, body []byte) (*explanation, error) {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(admin, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the node: %w", err)
	}
	defer resp.Body.Close()
	var answer explanation
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxExplanation)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("ask the node: %s answers %s with something else than an explanation", admin, resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the node: %s", cmp.Or(answer.Error, resp.Status))
	}
	return &answer, nil
}

// title is a request's first line.
func (q *question) title() string {
	target, query, found := strings.Cut(q.URL, "?")
	if found && query != "" {
		target += "?…" // it may hold a credential
	}
	return q.Method + " " + target
}

// pastTitle is the first line of a request that the node remembers.
func (e *explanation) pastTitle() string {
	if e == nil || e.Request == nil {
		return ""
	}
	r := e.Request
	title := fmt.Sprintf("%s  %s  status %d", r.ID, r.At.Format(time.RFC3339), r.Status)
	if r.Client != "" {
		title += "  client " + r.Client
	}
	if r.Method != "" {
		title += fmt.Sprintf("\n%s %s", r.Method, oneLine(r.Host+r.Path))
	}
	return title
}

// print writes the outcome, then a line for each step; > marks the one that decides.
func (e *explanation) print(w io.Writer, title string) error {
	outcome := "allowed"
	if !e.Allowed {
		outcome = "refused: " + e.Reason
	}
	state := ""
	if e.Request == nil {
		state = fmt.Sprintf(", by the state at sequence %d", e.Sequence)
	}
	why := ""
	if e.Cause != "" {
		why = "\ncause " + e.Cause + ": " + e.Meaning
	}
	if _, err := fmt.Fprintf(w, "%s\n%s%s%s%s\n\n", title, outcome, e.parties(), state, why); err != nil {
		return err
	}
	deciding := e.deciding()
	var names, plans, outcomes int
	for _, s := range e.Steps {
		names, plans, outcomes = max(names, len(s.Step)), max(plans, len(cmp.Or(s.Plan, "-"))), max(outcomes, len(s.Outcome))
	}
	for i, s := range e.Steps {
		mark := " "
		if i == deciding {
			mark = ">"
		}
		head := fmt.Sprintf("%s %-*s  %-*s  %-*s", mark, names, s.Step, plans, cmp.Or(s.Plan, "-"), outcomes, s.Outcome)
		if _, err := io.WriteString(w, wrap(head, details(s.Detail))); err != nil {
			return err
		}
	}
	return nil
}

func (e *explanation) parties() string {
	var b strings.Builder
	for _, p := range [][2]string{{"api", e.API}, {"plan", e.Plan}, {"application", e.Application}} {
		if p[1] != "" {
			b.WriteString(", " + p[0] + " " + p[1])
		}
	}
	return b.String()
}

// deciding finds the step that the outcome comes from. What the plans come to
// together says less than the plan's own step it comes from.
func (e *explanation) deciding() int {
	last := len(e.Steps) - 1
	if e.Allowed || last < 0 || e.Steps[last].Step != "plans" {
		return last
	}
	for i, s := range e.Steps[:last] {
		if s.Outcome == e.Reason && s.Cause == e.Cause {
			return i
		}
	}
	return last
}

// wrap writes parts after a head, on further lines beneath where one would become
// longer than 100 characters.
func wrap(head string, parts []string) string {
	const widest = 100
	var b strings.Builder
	line := head
	for _, part := range parts {
		if len(line) > len(head) && len(line)+2+len(part) > widest {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(head))
		}
		line += "  " + part
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}

// oneLine quotes what would not be one word on one line.
func oneLine(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || r == '"' || !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// details writes what is known of a step, each in one line whatever is in it.
func details(detail map[string]string) []string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		if value := detail[name]; value != "" {
			parts = append(parts, strings.ReplaceAll(name, " ", ":")+"="+oneLine(value))
		}
	}
	return parts
}
