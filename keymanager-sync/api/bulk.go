package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// File is a text with resources, YAML or JSON, and the name that faults show for it.
type File struct {
	Name string
	Data []byte
}

// FileOf writes resources as a file for Apply.
func FileOf(name string, resources ...catalog.Resource) File {
	var text []byte
	for _, r := range resources {
		text = append(resource.AppendJSON(text, r, resource.WithSecrets()), '\n')
	}
	return File{name, text}
}

// Apply is what Client.Apply needs.
type Apply struct {
	Files []File
	// DryRun changes nothing, and returns what would change, field by field.
	DryRun bool
	// NoDeploy leaves the Apis that are touched as drafts.
	NoDeploy bool
	Write    Write
}

// Apply makes resources as the files say, all or none. What they do not mention is
// left alone. All must fit one message of the log; Import takes more.
func (c *Client) Apply(ctx context.Context, apply Apply) (Applied, Outcome, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, f := range apply.Files {
		part, err := form.CreateFormFile("file", f.Name)
		if err != nil {
			return Applied{}, Outcome{}, fmt.Errorf("pack %s: %w", f.Name, err)
		}
		_, _ = part.Write(f.Data) // into memory
	}
	_ = form.Close()
	query := url.Values{}
	if apply.DryRun {
		query.Set("dry_run", "true")
	}
	if apply.NoDeploy {
		query.Set("deploy", "false")
	}
	a, err := c.call(ctx, request{
		method: http.MethodPost, path: "/v1/apply", query: query,
		contentType: form.FormDataContentType(), body: body.Bytes(), write: apply.Write,
	})
	var applied Applied
	if err == nil {
		err = readJSON(a.body, &applied)
	}
	return applied, a.Outcome, err
}

// Import is what Client.Import needs.
type Import struct {
	// ID names the import, with 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" and "-":
	// the same ID with the same body goes on where an earlier attempt stopped.
	ID string
	// File is the name that faults show.
	File string
	// Open starts the body (a YAML stream, NDJSON or a JSON array) from its beginning.
	// It is called again after a connection was lost.
	Open func() (io.ReadCloser, error)
	// Once: the body cannot be opened again.
	Once bool
	// NoDeploy leaves the Apis that are touched as drafts.
	NoDeploy bool
	Write    Write
	// Report is called with every line of the answer; may be nil.
	Report func(Progress)
	// Lost is called when the connection was lost, with the pause before the next attempt; may be nil.
	Lost func(err error, again time.Duration)
	// Attempts that may fail in a row without any progress; 0: 8.
	Attempts int
}

// errBroken: the answer ended before the import did.
var errBroken = errors.New("the connection was lost")

// Import applies a body of any size, chunk by chunk. When the connection is lost it
// starts from the beginning, at the next replica; what the log has already is skipped
// there. The Progress is the last line of the answer, with an error too.
func (c *Client) Import(ctx context.Context, im Import) (Progress, error) {
	attempts := im.Attempts
	if attempts <= 0 {
		attempts = 8
	}
	furthest := 0
	for failed := 0; ; {
		at := int(c.last.Load()) % len(c.addresses)
		last, err := c.importOnce(ctx, c.addresses[at], im)
		if err == nil || !passing(err) || im.Once || ctx.Err() != nil {
			return last, err
		}
		c.last.CompareAndSwap(int64(at), int64((at+1)%len(c.addresses)))
		if last.Chunk > furthest {
			furthest, failed = last.Chunk, 0
		}
		if failed++; failed >= attempts {
			return last, fmt.Errorf("%w, %d times in a row (hint: run the import again with the id %s)", err, failed, im.ID)
		}
		if err := im.wait(ctx, err, failed); err != nil {
			return last, err
		}
	}
}

// wait pauses before the attempt after the nth failure.
func (im Import) wait(ctx context.Context, cause error, n int) error {
	again := backoff(n + 1)
	if im.Lost != nil {
		im.Lost(cause, again)
	}
	return sleep(ctx, again)
}

// passing reports whether trying again may help.
func passing(err error) bool {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Status >= http.StatusInternalServerError
	}
	return errors.Is(err, errBroken)
}

func (c *Client) importOnce(ctx context.Context, address string, im Import) (Progress, error) {
	body, err := im.Open()
	if err != nil {
		return Progress{}, fmt.Errorf("open %s: %w", im.File, err)
	}
	defer func() { _ = body.Close() }()
	query := url.Values{"id": {im.ID}}
	if im.NoDeploy {
		query.Set("deploy", "false")
	}
	response, err := c.send(ctx, address, request{
		method: http.MethodPost, path: "/v1/import", query: query, contentType: "application/yaml", stream: body, write: im.Write,
	})
	if err != nil {
		if _, refused := errors.AsType[*Problem](err); refused {
			return Progress{}, err
		}
		return Progress{}, fmt.Errorf("%w: %w", errBroken, err)
	}
	defer func() { _ = response.Body.Close() }()
	return im.read(response.Body)
}

// read reads the answer to its last line.
func (im Import) read(r io.Reader) (Progress, error) {
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
			return p, im.problem(p)
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

// problem is what ended an import, with the name of the caller's file.
func (im Import) problem(p Progress) error {
	problem := NewProblem(p.Status, http.StatusText(p.Status), "", p.Error)
	problem.Errors = p.Errors
	for i := range problem.Errors {
		problem.Errors[i].File = im.File
	}
	return &problem
}
