package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Problem is a refusal of the control plane (RFC 9457).
type Problem struct { //nolint:errname // the name that RFC 9457 gives it
	Type   string     `json:"type"`
	Title  string     `json:"title"`
	Status int        `json:"status"`
	Detail string     `json:"detail"`
	Errors fault.List `json:"errors"`
}

// Error is one line for each fault, or what the server says in general.
func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		if p.Detail == "" {
			return fmt.Sprintf("%d %s", p.Status, p.Title)
		}
		return p.Detail
	}
	return p.Errors.Error()
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
