package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/pflag"
)

// Exit statuses of explain.
const (
	exitAllowed = 0
	exitRefused = 1
	exitUsage   = 2 // also: the node could not be asked
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

// explanation is what a node answers.
type explanation struct {
	Allowed     bool   `json:"allowed"`
	Reason      string `json:"reason"`
	API         string `json:"api"`
	Plan        string `json:"plan"`
	Application string `json:"application"`
	Sequence    uint64 `json:"sequence"`
	Steps       []struct {
		Step    string            `json:"step"`
		Plan    string            `json:"plan"`
		Outcome string            `json:"outcome"`
		Detail  map[string]string `json:"detail"`
	} `json:"steps"`
	Error string `json:"error"`
}

// explain asks a running node how it would decide about a request.
func explain(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	admin, q, err := readQuestion(args, stdin, stdout)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exitAllowed
	case err != nil:
		fmt.Fprintf(stderr, "gateway explain: %v\nusage: gateway explain --url URL [--header 'Name: value']… (--help for more)\n", err)
		return exitUsage
	}
	answer, err := askNode(ctx, admin, q)
	if err != nil {
		fmt.Fprintf(stderr, "gateway explain: %v\n", err)
		return exitUsage
	}
	if err := answer.print(stdout, q); err != nil {
		fmt.Fprintf(stderr, "gateway explain: print: %v\n", err)
		return exitUsage
	}
	if !answer.Allowed {
		return exitRefused
	}
	return exitAllowed
}

func readQuestion(args []string, stdin io.Reader, stdout io.Writer) (admin string, q question, err error) {
	flags := pflag.NewFlagSet("explain", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	flags.StringVar(&admin, "admin", "http://127.0.0.1:9090", "address of the node's admin listener")
	flags.StringVar(&q.Method, "method", "GET", "the request's method")
	flags.StringVar(&q.URL, "url", "", "the request's URL, as a client would write it")
	headers := flags.StringArray("header", nil, "a header field, `'Name: value'`; may be repeated")
	flags.StringVar(&q.Token, "token", "", "send it as Authorization: Bearer; - reads it from standard input")
	flags.StringVar(&q.Client, "client", "", "the client's address")
	certificate := flags.String("certificate", "", "PEM `file` with the client's TLS certificate")
	flags.Usage = func() {
		fmt.Fprintf(stdout, "Explain asks a running node how it would decide about a request, and why. Nothing is\n"+
			"sent upstream and nothing is counted. It exits with 0 if the request is allowed, 1 if it\n"+
			"is refused, 2 if that could not be found out.\n\nUsage:\n  gateway explain [flags] --url URL\n\n%s", flags.FlagUsages())
	}
	if err := flags.Parse(args); err != nil {
		return "", question{}, err
	}
	switch {
	case flags.NArg() > 0:
		return "", question{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case q.URL == "":
		return "", question{}, errors.New("--url is needed")
	}
	for _, line := range *headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return "", question{}, errors.New("--header: write 'Name: value'") // not what it is: it may be a secret
		}
		if q.Headers == nil {
			q.Headers = map[string][]string{}
		}
		q.Headers[name] = append(q.Headers[name], strings.TrimSpace(value))
	}
	if *certificate != "" {
		text, err := os.ReadFile(*certificate)
		if err != nil {
			return "", question{}, fmt.Errorf("--certificate: %w", err)
		}
		q.Certificate = string(text)
	}
	if q.Token == "-" {
		text, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
		if err != nil {
			return "", question{}, fmt.Errorf("--token: read standard input: %w", err)
		}
		q.Token = strings.TrimSpace(string(text))
	}
	return admin, q, nil
}

func askNode(ctx context.Context, admin string, q question) (*explanation, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("write the question: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	if !strings.Contains(admin, "://") {
		admin = "http://" + admin
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(admin, "/")+"/explain", bytes.NewReader(body)) //nolint:gosec // the operator names the node
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // as above
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

// print writes the outcome, then a line for each step; > marks the one that decides.
func (e *explanation) print(w io.Writer, q question) error {
	target, query, found := strings.Cut(q.URL, "?")
	if found && query != "" {
		target += "?…" // it may hold a credential
	}
	outcome := "allowed"
	if !e.Allowed {
		outcome = "refused: " + e.Reason
	}
	if _, err := fmt.Fprintf(w, "%s %s\n%s%s, by the state at sequence %d\n\n", q.Method, target, outcome, e.parties(), e.Sequence); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	deciding := e.deciding()
	for i, s := range e.Steps {
		mark := " "
		if i == deciding {
			mark = ">"
		}
		line := []string{mark + " " + s.Step, cmp.Or(s.Plan, "-"), s.Outcome, details(s.Detail)}
		if _, err := fmt.Fprintln(table, strings.TrimRight(strings.Join(line, "\t"), "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
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
		if s.Outcome == e.Reason {
			return i
		}
	}
	return last
}

// details writes what is known of a step, in one line whatever is in it.
func details(detail map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		if value := detail[name]; value != "" {
			if strings.ContainsFunc(value, func(r rune) bool { return r == ' ' || r == '"' || !unicode.IsPrint(r) }) {
				value = fmt.Sprintf("%q", value)
			}
			parts = append(parts, strings.ReplaceAll(name, " ", ":")+"="+value)
		}
	}
	return strings.Join(parts, "  ")
}
