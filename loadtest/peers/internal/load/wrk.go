//go:build linux

// Package load makes requests: by wrk as fast as the answers come, and at a fixed
// rate by a generator of our own, since wrk has no rate.
package load

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/account"
)

//go:embed fixed.lua
var fixed string

//go:embed rotate.lua
var rotate string

//go:embed report.lua
var report string

// Requests are what is sent.
type Requests struct {
	// Target is scheme and address of the server.
	Target string
	// Path, Method and Body of a request that is the same every time.
	Path, Method string
	Body         string // file; empty: none
	// Lines is a file of paths and tokens, taken in turn; in place of Path.
	Lines string
	// First is the line to begin with.
	First int
	// Headers are names and values in turn.
	Headers     []string
	Connections int
}

// Result is what a run has counted. Latencies are in microseconds.
type Result struct {
	Microseconds int64   `json:"microseconds"`
	Requests     int     `json:"requests"`
	Bytes        int64   `json:"bytes"`
	Connect      int     `json:"connect"` // errors, as Read, Write and Timeout
	Read         int     `json:"read"`
	Write        int     `json:"write"`
	Timeout      int     `json:"timeout"`
	Status       int     `json:"status"` // answers of 400 and more
	P50          float64 `json:"p50"`
	P99          float64 `json:"p99"`
	Max          float64 `json:"max"`
	// Lag is how late the generator itself was, at a fixed rate: its 99th percentile.
	Lag float64 `json:"lag"`
}

// Faults is an error if there were any of the transport.
func (r *Result) Faults() error {
	if r.Connect+r.Read+r.Write+r.Timeout > 0 {
		return fmt.Errorf("%d connections failed, %d reads, %d writes, %d timeouts", r.Connect, r.Read, r.Write, r.Timeout)
	}
	if r.Requests == 0 {
		return errors.New("no request was answered")
	}
	return nil
}

// Wrk is wrk, as installed.
type Wrk struct {
	// Dir is where scripts are written to.
	Dir string
	// Processor that it runs on.
	Processor int
}

// Command is how wrk is called.
func (w *Wrk) Command(q Requests, duration time.Duration) ([]string, error) {
	script, name := fixed, "fixed.lua"
	arguments := []string{q.Method, q.Body}
	if q.Method == "" {
		arguments[0] = "GET"
	}
	if q.Body == "" {
		arguments[1] = "-"
	}
	path := q.Path
	if q.Lines != "" {
		script, name, path = rotate, "rotate.lua", "/"
		arguments = []string{q.Lines, strconv.Itoa(q.First)}
	}
	file := filepath.Join(w.Dir, name)
	if err := os.WriteFile(file, []byte(script+report), 0o600); err != nil {
		return nil, err
	}
	args := account.Pinned(w.Processor, []string{
		"wrk", "-t1", "-c" + strconv.Itoa(q.Connections), "-d" + strconv.Itoa(max(1, int(duration.Seconds()))) + "s",
		"--timeout", "10s", "-s", file, q.Target + path, "--",
	})
	return append(append(args, arguments...), q.Headers...), nil
}

// Run makes requests for a number of whole seconds.
func (w *Wrk) Run(ctx context.Context, q Requests, duration time.Duration) (*Result, error) {
	args, err := w.Command(q, duration)
	if err != nil {
		return nil, err
	}
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("wrk: %w\n%s%s", err, out.String(), stderr.String())
	}
	return parse(out.Bytes())
}

// parse finds the line of report.lua in what wrk printed.
func parse(out []byte) (*Result, error) {
	for line := range bytes.Lines(out) {
		if !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		r := new(Result)
		if err := json.Unmarshal(line, r); err != nil {
			return nil, fmt.Errorf("wrk reported %q: %w", line, err)
		}
		return r, nil
	}
	return nil, fmt.Errorf("wrk reported nothing; it printed:\n%s", out)
}
