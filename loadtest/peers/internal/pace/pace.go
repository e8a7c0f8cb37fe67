// Package pace makes requests at a fixed rate and measures how long each took since
// the moment at which it was to be sent. So a proxy that stands still for a while
// pays for every request that should have been made meanwhile, as it does with
// clients that do not know of each other.
//
// It is one thread around epoll, so that it costs about as little as wrk, beside
// which it stands.
package pace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Config says what is sent, and how often.
type Config struct {
	Address     string   `json:"address"`
	Path        string   `json:"path"`
	Lines       string   `json:"lines"` // file of paths and tokens, in place of Path
	First       int      `json:"first"` // line to begin with
	Headers     []string `json:"headers"`
	Connections int      `json:"connections"`
	Rate        float64  `json:"rate"` // requests each second
	Seconds     float64  `json:"seconds"`
}

// Result is in the form of package load's; Lag is the 99th percentile of what the
// generator itself was late, in microseconds.
type Result struct {
	Microseconds int64   `json:"microseconds"`
	Requests     int     `json:"requests"`
	Bytes        int64   `json:"bytes"`
	Status       int     `json:"status"`
	P50          float64 `json:"p50"`
	P99          float64 `json:"p99"`
	Max          float64 `json:"max"`
	Lag          float64 `json:"lag"`
}

// requests renders what is sent.
func (c *Config) requests() ([][]byte, error) {
	if c.Lines == "" {
		return [][]byte{c.render(c.Path, "")}, nil
	}
	data, err := os.ReadFile(c.Lines)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		path, token, found := strings.Cut(lines.Text(), " ")
		if !found {
			return nil, fmt.Errorf("%s: no token in line %d", c.Lines, len(all)+1)
		}
		all = append(all, c.render(path, token))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is empty", c.Lines)
	}
	first := c.First % len(all)
	return slices.Concat(all[first:], all[:first]), lines.Err()
}

func (c *Config) render(path, token string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", path, c.Address)
	for i := 0; i+1 < len(c.Headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", c.Headers[i], c.Headers[i+1])
	}
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// errMalformed says that an answer is not the HTTP that the contenders speak.
var errMalformed = errors.New("malformed answer")

// answer looks at what was received: the status and the length of the whole answer,
// 0 while the header section is not complete.
func answer(in []byte) (status, length int, err error) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, 0, nil
	}
	head := in[:end+2]
	if len(head) < 14 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("%w: %.80q", errMalformed, in)
	}
	for _, digit := range head[9:12] {
		status = status*10 + int(digit-'0')
	}
	body := -1
	for line := range bytes.Lines(head) {
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			body = 0
			for _, digit := range bytes.TrimSpace(line[len(name):]) {
				body = body*10 + int(digit-'0')
			}
		}
	}
	if body < 0 {
		return 0, 0, fmt.Errorf("%w: no Content-Length in %.300q", errMalformed, head)
	}
	return status, end + 4 + body, nil
}

// percentile of sorted nanoseconds, in microseconds.
func percentile(sorted []uint32, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]) / float64(time.Microsecond)
}
