package rest

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// problem is a refusal, with the headers that go with it.
type problem struct {
	api.Problem

	header http.Header
}

// newProblem makes a problem; word is the last part of its type and never changes its meaning.
func newProblem(status int, word, detail string) *problem {
	return &problem{Problem: api.NewProblem(status, http.StatusText(status), word, detail)}
}

// with adds a header to the answer.
func (p *problem) with(name, value string) *problem {
	if p.header == nil {
		p.header = make(http.Header)
	}
	p.header.Set(name, value)
	return p
}

func (p *problem) retryAfter(seconds int) *problem {
	return p.with("Retry-After", strconv.Itoa(seconds))
}

func badRequest(detail string) *problem {
	return newProblem(http.StatusBadRequest, "bad-request", detail)
}

func notFound(detail string) *problem {
	return newProblem(http.StatusNotFound, "not-found", detail)
}

func invalid(detail string) *problem {
	return newProblem(http.StatusUnprocessableEntity, "invalid", detail)
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client has gone
}

// toProblem is the one function that turns errors into answers. A nil problem
// means that the error is ours, and its text stays in our log.
func toProblem(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if faults, ok := errors.AsType[fault.List](err); ok {
		return refused(faults)
	}
	if failed, ok := errors.AsType[*command.PreconditionError](err); ok {
		return newProblem(http.StatusPreconditionFailed, "precondition-failed", failed.Error())
	}
	if skew, ok := errors.AsType[*fleet.SkewError](err); ok {
		return newProblem(http.StatusConflict, "schema-skew", skew.Error())
	}
	if body, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge, "too-large",
			"the body has more than "+strconv.FormatInt(body.Limit, 10)+" bytes (hint: send it to /v1/import)")
	}
	return ledgerProblem(err)
}

func ledgerProblem(err error) *problem {
	if large, ok := errors.AsType[*ledger.TooLarge](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge, "too-large", large.Error())
	}
	if reuse, ok := errors.AsType[*ledger.KeyReuse](err); ok {
		return newProblem(http.StatusUnprocessableEntity, "key-reuse", reuse.Error())
	}
	switch {
	case errors.Is(err, ledger.ErrKeyTooLong):
		return badRequest(err.Error())
	case errors.Is(err, ledger.ErrInternal):
		return newProblem(http.StatusInternalServerError, "internal", err.Error())
	case errors.Is(err, ledger.ErrUncertain):
		return newProblem(http.StatusServiceUnavailable, "uncertain", err.Error()).retryAfter(1)
	case errors.Is(err, ledger.ErrContended):
		return newProblem(http.StatusServiceUnavailable, "contended", err.Error()).retryAfter(1)
	case errors.Is(err, ledger.ErrTimeout):
		return newProblem(http.StatusServiceUnavailable, "timeout", err.Error()).retryAfter(1)
	case errors.Is(err, ledger.ErrUnavailable):
		return newProblem(http.StatusServiceUnavailable, "unavailable", err.Error()).retryAfter(2)
	}
	return nil
}

// refused chooses the status for what the rules say: a fault of the body weighs
// more than a fault of the state, and an absent resource more than its conflicts.
func refused(faults fault.List) *problem {
	status, word := http.StatusConflict, string(faults[0].Code)
	switch {
	case faults.Has("") || faults.Has(fault.Invalid) || faults.Has(fault.Dangling): // no code: it cannot be read
		return unreadable(faults)
	case faults.Has(fault.NotFound):
		status, word = http.StatusNotFound, "not-found"
	}
	p := newProblem(status, wordOf(word), summary(len(faults), faults[0].Error()))
	p.Errors = faults
	return p
}

// unreadable says what is wrong with a body.
func unreadable(faults fault.List) *problem {
	p := newProblem(http.StatusUnprocessableEntity, "invalid", summary(len(faults), faults[0].Error()))
	p.Errors = faults
	return p
}

// summary is the first fault, and how many there are.
func summary(n int, first string) string {
	if n == 1 {
		return first
	}
	return first + " (and " + strconv.Itoa(n-1) + " more)"
}

// wordOf writes a code as the other words are written.
func wordOf(code string) string {
	out := []byte(code)
	for i, c := range out {
		if c == '_' {
			out[i] = '-'
		}
	}
	return string(out)
}
