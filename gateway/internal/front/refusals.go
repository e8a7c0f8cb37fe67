package front

import (
	"net/netip"
	"sync"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// Bounds of what is kept of one refused request. Longer texts are cut.
const (
	maxKeptName  = 128 // bytes of a method, a host or an id
	maxKeptPath  = 512 // bytes
	maxKeptSteps = 8
	// MaxRefusal is about how much memory one refused request takes at most, in bytes.
	MaxRefusal = 3 << 10
)

// Refusals keeps the last refused requests, so that an operator can ask why one was
// refused without having its credential: nothing of that is kept, nor any header
// field, nor the query. It is safe for concurrent use. The nil Refusals keeps none.
type Refusals struct {
	mu    sync.Mutex
	slots []slot
	total int       // refusals ever kept: the next slot is total modulo their number
	since time.Time // of the first refusal that could be kept
}

// NewRefusals makes a memory for so many refusals; nil for 0.
func NewRefusals(number int) *Refusals {
	if number <= 0 {
		return nil
	}
	return &Refusals{slots: make([]slot, number), since: time.Now()}
}

// Refused is a request that was refused.
type Refused struct {
	// ID is the X-Request-Id of its answer.
	ID string
	At time.Time
	// Method, Host and Path are canonical, and empty if the request could not be read so far.
	Method, Host, Path string
	// Client is the client's address; the zero Addr: it has none.
	Client netip.Addr
	Status int
	Reason string
	Cause  cause.Cause
	// API, Plan and Application are ids; empty: not known.
	API, Plan, Application string
	// Credential is the kind that the request brought: none, token or api_key.
	Credential string
	// Decided: the pipeline let the request through.
	Decided bool
	// Steps are those that refused, in order.
	Steps []RefusedStep
}

// RefusedStep is one step's say.
type RefusedStep struct {
	Step, Plan, Reason string
	Cause              cause.Cause
}

// slot is a refusal as it is kept. Its texts stand in text one after the other, so
// that what was allocated once is used again.
type slot struct {
	text                                        []byte
	id, method, host, path, api, plan, consumer span
	at                                          time.Time
	client                                      netip.Addr
	status                                      int
	reason, credential                          string // constants
	cause                                       cause.Cause
	decided                                     bool
	steps                                       [maxKeptSteps]keptStep
	count                                       int
}

type keptStep struct {
	name, reason string // constants
	plan         span
	cause        cause.Cause
}

// span is a part of a slot's text.
type span struct{ from, to uint16 }

func (s *slot) of(p span) string { return string(s.text[p.from:p.to]) }

func keep[T ~string | ~[]byte](s *slot, text T, most int) span {
	from := len(s.text)
	s.text = append(s.text, text[:min(len(text), most)]...)
	return span{uint16(from), uint16(len(s.text))}
}

// add keeps a refusal in place of the oldest one. In the long run it does not allocate.
func (r *Refusals) add(call *Call, status int, refused *denial.Denial) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.slots[r.total%len(r.slots)]
	r.total++
	request, d := &call.Exchange.Request, &call.Decision
	*s = slot{
		text: s.text[:0], at: call.began, client: request.Address, status: status, decided: call.decided,
		reason: refused.Reason(), cause: refused.Cause(), credential: d.Brought(),
	}
	api, plan := call.parties(refused)
	s.id, s.method = keep(s, call.ID(), maxKeptName), keep(s, request.Method, maxKeptName)
	s.host, s.path = keep(s, request.Host, maxKeptName), keep(s, request.Path, maxKeptPath)
	s.api, s.plan, s.consumer = keep(s, api, maxKeptName), keep(s, plan, maxKeptName), keep(s, d.Application, maxKeptName)
	for step := range d.Refusals {
		if s.count == maxKeptSteps {
			break
		}
		s.steps[s.count] = keptStep{step.Step, step.Because.Reason(), keep(s, step.Plan, maxKeptName), step.Because.Cause()}
		s.count++
	}
}

// Find returns the last refusal that was answered with this id.
func (r *Refusals) Find(id string) (Refused, bool) {
	if r == nil || id == "" {
		return Refused{}, false
	}
	id = id[:min(len(id), maxKeptName)]
	r.mu.Lock()
	defer r.mu.Unlock()
	for back := 1; back <= min(r.total, len(r.slots)); back++ {
		s := &r.slots[(r.total-back)%len(r.slots)]
		if string(s.text[s.id.from:s.id.to]) == id {
			return s.refused(), true
		}
	}
	return Refused{}, false
}

func (s *slot) refused() Refused {
	found := Refused{
		ID: s.of(s.id), At: s.at, Method: s.of(s.method), Host: s.of(s.host), Path: s.of(s.path), Client: s.client,
		Status: s.status, Reason: s.reason, Cause: s.cause, API: s.of(s.api), Plan: s.of(s.plan), Application: s.of(s.consumer),
		Credential: s.credential, Decided: s.decided,
	}
	for _, step := range s.steps[:s.count] {
		found.Steps = append(found.Steps, RefusedStep{step.name, s.of(step.plan), step.reason, step.cause})
	}
	return found
}

// Kept returns how many refusals are kept, of how many at most, and since when all are.
func (r *Refusals) Kept() (number, most int, since time.Time) {
	if r == nil {
		return 0, 0, time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	number, since = min(r.total, len(r.slots)), r.since
	if r.total > len(r.slots) {
		since = r.slots[r.total%len(r.slots)].at
	}
	return number, len(r.slots), since
}
