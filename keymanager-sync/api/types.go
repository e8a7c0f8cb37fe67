package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Problem is a refusal of the control plane, as RFC 9457 describes it. Every call
// of a Client that was answered and refused returns one:
//
//	if problem, ok := errors.AsType[*api.Problem](err); ok && problem.Status == http.StatusConflict {
type Problem struct { //nolint:errname // the name that RFC 9457 gives it
	// Type ends in a stable word for the sort of problem, see Word.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Errors are all faults of the request's body.
	Errors fault.List `json:"errors,omitempty"`
}

// Fault is one thing that is wrong with a request: where, what, and the cure.
type Fault = fault.Fault //nolint:errname // users read api.Fault; a Problem is the error

const problemType = "urn:portcullis:problem:"

// NewProblem makes a problem. word never changes its meaning: "conflict".
func NewProblem(status int, title, word, detail string) Problem {
	return Problem{Type: problemType + word, Title: title, Status: status, Detail: detail}
}

// Word is the sort of problem, for programs: "conflict", "not-found",
// "precondition-failed". It is empty if the answer was not the control plane's.
func (p *Problem) Word() string {
	word, _ := strings.CutPrefix(p.Type, problemType)
	return word
}

// Error has one line for each fault, or says what is wrong in general.
func (p *Problem) Error() string {
	switch {
	case len(p.Errors) > 0:
		return p.Errors.Error()
	case p.Detail != "":
		return p.Detail
	}
	return strconv.Itoa(p.Status) + " " + p.Title
}

// Page is one page of a listing.
type Page struct {
	Items []json.RawMessage `json:"items"`
	// Next is the `after` of the next page; empty: this is the last one.
	Next string `json:"next,omitempty"`
}

// Applied is what an apply changed, or would change.
type Applied struct {
	Changes []Difference `json:"changes"`
	// Notes are no faults, but worth knowing.
	Notes []Note `json:"notes,omitempty"`
	// Text is the same for people.
	Text string `json:"text"`
}

// The actions of a Difference.
const (
	Created   = "create"
	Updated   = "update"
	Deleted   = "delete"
	Unchanged = "unchanged"
)

// Difference is what happens to one resource.
type Difference struct {
	// Ref names it: "plan/gold".
	Ref    string `json:"ref"`
	Action string `json:"action"`
	// Fields are given by a dry run only.
	Fields []FieldChange `json:"fields,omitempty"`
}

// FieldChange is a field's value before and after; empty: it is not set.
type FieldChange struct {
	Path string `json:"path"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Note is a remark about a resource.
type Note struct {
	Ref  string `json:"ref"`
	Text string `json:"text"`
}

// Progress is one line of an import's answer. The last one has Done or Error.
type Progress struct {
	// ID is the import's name.
	ID string `json:"id"`
	// Chunk is the one that was just carried out; it counts from 1.
	Chunk int `json:"chunk,omitempty"`
	// Resources and Bytes are what has been read so far, this chunk included.
	Resources int   `json:"resources"`
	Bytes     int64 `json:"bytes"`
	// Skipped: the log already held this chunk.
	Skipped bool `json:"skipped,omitempty"`
	// Sequence is the last chunk's number in the log.
	Sequence uint64 `json:"sequence,omitempty"`
	Done     bool   `json:"done,omitempty"`
	// Chunks is, with Done, how many there were.
	Chunks int `json:"chunks,omitempty"`
	// Fleet is, with Done and a write that waits, as in Outcome.
	Fleet string `json:"fleet,omitempty"`

	// Error is why the import ended early: nothing of the chunk it names was applied.
	Error string `json:"error,omitempty"`
	// Status is the one that Error would have as a separate answer.
	Status int        `json:"status,omitempty"`
	Line   int        `json:"line,omitempty"`
	Errors fault.List `json:"errors,omitempty"`
	// ResumeWith is the query to send the corrected body with.
	ResumeWith string `json:"resume_with,omitempty"`
}

// Fleet is who is there, and where each stands, as one replica sees it.
type Fleet struct {
	// Epoch and Sequence are those of the answering replica.
	Epoch    uint64 `json:"epoch"`
	Sequence uint64 `json:"sequence"`
	// Phase is what the answering replica is doing: OPENING, LOADING, LIVE, AWAY or
	// HOLD; Reason is why it is not LIVE.
	Phase    string    `json:"phase"`
	Reason   string    `json:"reason,omitempty"`
	Nodes    []Node    `json:"nodes"`
	Replicas []Replica `json:"replicas"`
}

// Node is one gateway process.
type Node struct {
	ID      string `json:"id"`
	Version string `json:"version,omitempty"`
	// Live: it was heard within the last 5 seconds.
	Live bool `json:"live"`
	// State is LOADING, LIVE, STALE, RESYNC or DRAINING; UNKNOWN with Unheard.
	State string `json:"state"`
	Epoch uint64 `json:"epoch"`
	// Sequence is the last that it has applied, Lag the entries that it is behind.
	Sequence uint64 `json:"sequence"`
	Lag      uint64 `json:"lag"`
	// OtherEpoch: it follows another log, so Lag says nothing.
	OtherEpoch bool `json:"other_epoch,omitempty"`
	// Duplicate: several processes use this id at the same time.
	Duplicate bool      `json:"duplicate,omitempty"`
	Seen      time.Time `json:"seen"`
	StartedAt time.Time `json:"started_at"`
	// Requests, Denials and Resyncs are counted since it started.
	Requests uint64 `json:"requests"`
	Denials  uint64 `json:"denials"`
	Resyncs  uint64 `json:"resyncs"`
	// Rejects are the newest of the resources that are not in force on the node;
	// RejectCount says how many there are.
	Rejects     []Reject `json:"rejects,omitempty"`
	RejectCount int      `json:"reject_count,omitempty"`
	// Schema is the version of the resource schema that the node knows.
	Schema uint32 `json:"schema,omitempty"`
	// Member: it belongs to the fleet, since Joined.
	Member bool       `json:"member,omitempty"`
	Joined *time.Time `json:"joined,omitempty"`
	// SilentSeconds is how long it has not been heard; 0 while it is live.
	SilentSeconds float64 `json:"silent_seconds,omitempty"`
	// Unheard: the answering replica has not heard it since it started itself; Version,
	// Epoch, Sequence and Seen are what was recorded of it last.
	Unheard bool `json:"unheard,omitempty"`
}

// Reject is a resource that a node could not put in force.
type Reject struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Sequence uint64 `json:"sequence"`
	Reason   string `json:"reason"`
}

// Replica is one control-plane process.
type Replica struct {
	ID   string `json:"id"`
	Live bool   `json:"live"`
	// Self: it is the one that answers.
	Self bool `json:"self,omitempty"`
	// Diverged: it showed another state at a sequence that the answering one knows.
	Diverged bool      `json:"diverged,omitempty"`
	Writable bool      `json:"writable"`
	Epoch    uint64    `json:"epoch"`
	Sequence uint64    `json:"sequence"`
	SetHash  string    `json:"set_hash"`
	Seen     time.Time `json:"seen"`
}
