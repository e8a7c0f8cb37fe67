package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

const (
	defaultTimeout = 5 * time.Second
	longestTimeout = time.Minute
	maxHeaderKey   = 128 // bytes of Idempotency-Key; the ledger allows more, for the chunks of an import
)

// params are a request's query parameters, each known to the operation and given at most once.
type params map[string]string

// parseParams refuses what the operation does not know: a filter that is
// misspelt must not turn into "everything".
func parseParams(r *http.Request, known ...string) (params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query cannot be read: " + err.Error())
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	p := make(params, len(values))
	for _, name := range names {
		if !slices.Contains(known, name) {
			hint := fault.Suggest(name, known)
			if hint == "" {
				hint = "none is known here"
			}
			return nil, badRequest(fmt.Sprintf("unknown query parameter %q (hint: %s)", name, hint))
		}
		if len(values[name]) > 1 {
			return nil, badRequest(fmt.Sprintf("query parameter %q is given %d times", name, len(values[name])))
		}
		p[name] = values[name][0]
	}
	return p, nil
}

// flag reads a bool; absent: byDefault; without a value: true.
func (p params) flag(name string, byDefault bool) (bool, error) {
	text, ok := p[name]
	switch {
	case !ok:
		return byDefault, nil
	case text == "" || text == "true":
		return true, nil
	case text == "false":
		return false, nil
	}
	return false, badRequest(fmt.Sprintf("%s=%q is neither true nor false", name, text))
}

// number reads a whole number of at least low and at most high; absent: byDefault.
func (p params) number(name string, byDefault, low, high uint64) (uint64, error) {
	text, ok := p[name]
	if !ok {
		return byDefault, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, badRequest(fmt.Sprintf("%s=%q is not a whole number from %d to %d", name, text, low, high))
	}
	return n, nil
}

func (p params) timeout() (time.Duration, error) {
	text, ok := p["timeout"]
	if !ok {
		return defaultTimeout, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > longestTimeout {
		return 0, badRequest(fmt.Sprintf("timeout=%q is not a duration of at most %s (hint: 500ms, 5s)", text, longestTimeout))
	}
	return d, nil
}

// stateFor is the state that a read is answered from: the present one or, with
// min_sequence, one that is not older.
func (s *Server) stateFor(ctx context.Context, p params) (*catalog.State, error) {
	least, err := p.number("min_sequence", 0, 0, 1<<63)
	if err != nil {
		return nil, err
	}
	timeout, err := p.timeout()
	if err != nil {
		return nil, err
	}
	if state := s.store.State(); state.Position().Sequence >= least {
		return state, nil
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	state, err := s.store.WaitFor(limited, least)
	if err != nil {
		return nil, newProblem(http.StatusGatewayTimeout, "behind", fmt.Sprintf(
			"this replica stands at sequence %d and did not reach %d within %s", s.store.State().Position().Sequence, least, timeout))
	}
	return state, nil
}

// precondition reads If-Match and, where create-only is possible, If-None-Match.
func precondition(r *http.Request, createOnly bool) (command.Precondition, error) {
	var cond command.Precondition
	if values := r.Header.Values("If-None-Match"); len(values) > 0 {
		if !createOnly || len(values) != 1 || strings.TrimSpace(values[0]) != "*" {
			return cond, badRequest("If-None-Match is understood on PUT only, as *")
		}
		cond.Absent = true
	}
	tags := strings.Join(r.Header.Values("If-Match"), ",")
	if strings.TrimSpace(tags) == "" {
		if len(r.Header.Values("If-Match")) > 0 {
			return cond, badRequest("If-Match is empty")
		}
		return cond, nil
	}
	if cond.Absent {
		return cond, badRequest("If-Match and If-None-Match contradict each other")
	}
	if strings.TrimSpace(tags) == "*" {
		cond.Exists = true
		return cond, nil
	}
	for tag := range strings.SplitSeq(tags, ",") {
		version, ok := versionOf(strings.TrimSpace(tag))
		if !ok {
			return cond, badRequest(fmt.Sprintf("If-Match: %s is not an ETag of this API (hint: it looks like \"7-t5ve0h\", or \"7\" for version 7 whenever it was made; with the quotes)", strings.TrimSpace(tag)))
		}
		cond.Versions = append(cond.Versions, version)
	}
	return cond, nil
}

// unconditional refuses conditions where nothing could honour them.
func unconditional(r *http.Request) error {
	if len(r.Header.Values("If-Match")) > 0 || len(r.Header.Values("If-None-Match")) > 0 {
		return badRequest("If-Match and If-None-Match are not understood here (hint: PUT, DELETE and the verbs take If-Match)")
	}
	return nil
}

// etag is a resource's version as an entity tag.
func etag(record catalog.Record) string { return `"` + command.VersionOf(record).String() + `"` }

func versionOf(tag string) (command.Version, bool) {
	text, ok := strings.CutPrefix(tag, `"`)
	if !ok {
		return command.Version{}, false
	}
	if text, ok = strings.CutSuffix(text, `"`); !ok {
		return command.Version{}, false
	}
	return command.ParseVersion(text)
}

// unchanged reports whether If-None-Match names the tag, by the weak comparison of RFC 9110 section 8.8.3.2.
func unchanged(r *http.Request, tag string) bool {
	for candidate := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			return true
		}
	}
	return false
}

// idempotencyKey reads the header of that name.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := strings.Trim(strings.TrimSpace(values[0]), `"`)
	if len(values) > 1 || key == "" || len(key) > maxHeaderKey {
		return "", badRequest(fmt.Sprintf("Idempotency-Key must be given once, with 1 to %d bytes", maxHeaderKey))
	}
	if strings.HasPrefix(key, importPrefix) {
		return "", badRequest("an Idempotency-Key must not start with " + importPrefix + ", which imports use")
	}
	return key, nil
}
