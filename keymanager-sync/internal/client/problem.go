package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Problem is a refusal of the control plane (RFC 9457).
type Problem struct { //nolint:errname // the name that RFC 9457 gives it
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail"`
	Errors []Fault `json:"errors"`
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// Error is one line for each fault, or what the server says in general.
func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		if p.Detail == "" {
			return fmt.Sprintf("%d %s", p.Status, p.Title)
		}
		return p.Detail
	}
	lines := make([]string, len(p.Errors))
	for i, f := range p.Errors {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// String is "file:line: plan/gold: field: message (hint: …)".
func (f Fault) String() string {
	var b strings.Builder
	if f.File != "" || f.Line > 0 {
		if f.File != "" {
			b.WriteString(f.File + ":")
		}
		if f.Line > 0 {
			fmt.Fprintf(&b, "%d:", f.Line)
		}
		b.WriteByte(' ')
	}
	switch {
	case f.Kind != "" && f.ID != "":
		b.WriteString(f.Kind + " " + f.ID + ": ")
	case f.Kind != "":
		b.WriteString(f.Kind + ": ")
	}
	if f.Field != "" {
		b.WriteString(f.Field + ": ")
	}
	b.WriteString(f.Message)
	if f.Hint != "" {
		b.WriteString(" (hint: " + f.Hint + ")")
	}
	return b.String()
}

const longestProblem = 4 << 20

// readProblem turns an answer that is no success into an error.
func readProblem(answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, longestProblem))
	p := &Problem{Status: answer.StatusCode, Title: http.StatusText(answer.StatusCode)}
	if err != nil {
		return p
	}
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, p) != nil {
		p.Detail = fmt.Sprintf("%s answers %s, and not as the control plane does (hint: check --control)", answer.Request.URL.Host, answer.Status)
	}
	if p.Status == http.StatusUnauthorized {
		p.Detail += " (hint: is PORTCULLIS_ADMIN_TOKEN that of this control plane?)"
	}
	return p
}
