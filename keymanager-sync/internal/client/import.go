package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Progress is one line of an import's answer.
type Progress struct {
	ID        string `json:"id"`
	Chunk     int    `json:"chunk"`
	Resources int    `json:"resources"`
	Bytes     int64  `json:"bytes"`
	Skipped   bool   `json:"skipped"`
	Sequence  uint64 `json:"sequence"`
	Done      bool   `json:"done"`
	Chunks    int    `json:"chunks"`
	Fleet     string `json:"fleet"`

	Error      string     `json:"error"`
	Status     int        `json:"status"`
	Line       int        `json:"line"`
	Errors     fault.List `json:"errors"`
	ResumeWith string     `json:"resume_with"`
}

// Import is what Run needs.
type Import struct {
	// ID names the import; the same ID with the same body goes on where an earlier attempt stopped.
	ID string
	// File is the name that errors show.
	File string
	// Open starts the body from its beginning; it is called again after a connection was lost.
	Open func() (io.ReadCloser, error)
	// Once: the body cannot be opened again.
	Once bool
	// Deploy puts every Api that is touched in force.
	Deploy bool
	Write  Write
	// Report is told of every line; may be nil.
	Report func(Progress)
	// Lost is told that the connection was lost and when it is tried again; may be nil.
	Lost func(err error, again time.Duration)
	// Attempts that may fail in a row without any progress; 0: 8.
	Attempts int
}

// errBroken: the answer ended before the import did.
var errBroken = errors.New("the connection was lost")

// Import streams a body of any size. When the connection is lost it starts
// over by itself; what the control plane has already is skipped there.
func (c *Client) Import(ctx context.Context, im Import) (Progress, error) {
	attempts := im.Attempts
	if attempts <= 0 {
		attempts = 8
	}
	furthest := 0
	for failed := 0; ; {
		last, err := c.importOnce(ctx, im)
		if err == nil || !passing(err) || im.Once || ctx.Err() != nil {
			return last, err
		}
		if last.Chunk > furthest {
			furthest, failed = last.Chunk, 0
		}
		if failed++; failed >= attempts {
			return last, fmt.Errorf("%w, %d times in a row (hint: run the import again with --id %s)", err, failed, im.ID)
		}
		pause := time.Duration(1<<min(failed, 5)) * 250 * time.Millisecond
		pause = pause/2 + rand.N(pause) //nolint:gosec // spreads load, hides nothing
		if im.Lost != nil {
			im.Lost(err, pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}

// passing tells whether trying again may help.
func passing(err error) bool {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Status >= http.StatusInternalServerError
	}
	return errors.Is(err, errBroken)
}

func (c *Client) importOnce(ctx context.Context, im Import) (Progress, error) {
	body, err := im.Open()
	if err != nil {
		return Progress{}, fmt.Errorf("open %s: %w", im.File, err)
	}
	defer func() { _ = body.Close() }()
	query := url.Values{"id": {im.ID}}
	if !im.Deploy {
		query.Set("deploy", "false")
	}
	answer, err := c.send(ctx, request{
		method: http.MethodPost, path: "/v1/import", query: query, contentType: "application/yaml", body: body, write: im.Write,
	})
	if err != nil {
		if _, refused := errors.AsType[*Problem](err); refused {
			return Progress{}, err
		}
		return Progress{}, fmt.Errorf("%w: %w", errBroken, err)
	}
	defer func() { _ = answer.Body.Close() }()
	return readProgress(answer.Body, im)
}

// readProgress reads the answer to its last line.
func readProgress(r io.Reader, im Import) (Progress, error) {
	var last Progress
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestProblem)
	for lines.Scan() {
		var p Progress
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return last, fmt.Errorf("read the answer: %w", err)
		}
		last = p
		if p.Error != "" {
			return p, importProblem(p, im.File)
		}
		if im.Report != nil {
			im.Report(p)
		}
		if p.Done {
			return p, nil
		}
	}
	if err := lines.Err(); err != nil {
		return last, fmt.Errorf("%w: %w", errBroken, err)
	}
	return last, errBroken
}

// importProblem is what ended an import, with the name of the caller's file.
func importProblem(p Progress, file string) error {
	problem := &Problem{Status: p.Status, Detail: p.Error, Errors: p.Errors}
	for i := range problem.Errors {
		problem.Errors[i].File = file
	}
	return problem
}
