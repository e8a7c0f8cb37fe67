package gateway

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/feed"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// explained is the answer to a question about a decision.
type explained struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason,omitempty"`
	// Cause and Meaning say finer than the reason why.
	Cause       string `json:"cause,omitempty"`
	Meaning     string `json:"meaning,omitempty"`
	API         string `json:"api,omitempty"`
	Plan        string `json:"plan,omitempty"`
	Application string `json:"application,omitempty"`
	// Sequence is that of the state that decides; absent for a request of the past.
	Sequence uint64          `json:"sequence,omitempty"`
	Steps    []pipeline.Step `json:"steps"`
	// Request is one of the past.
	Request *pastRequest `json:"request,omitempty"`
}

// pastRequest is what was kept of a refused request.
type pastRequest struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Status int       `json:"status"`
	Method string    `json:"method,omitempty"`
	Host   string    `json:"host,omitempty"`
	// Path is without the query.
	Path   string `json:"path,omitempty"`
	Client string `json:"client,omitempty"`
}

func (e *explained) because(d *denial.Denial) {
	e.Reason, e.Cause, e.Meaning = d.Reason(), d.Cause().String(), d.Cause().Meaning()
}

// explain tells how a request would be decided about now.
func explain(current *feed.Feed, decider *pipeline.Pipeline, r *request.Request) (any, error) {
	view := current.View()
	if view == nil {
		return nil, errors.New("the node has no state yet")
	}
	var d pipeline.Decision
	trace, err := decider.Explain(view, r, &d)
	answer := explained{
		Allowed: err == nil, Application: d.Application,
		Sequence: view.State.Position().Sequence, Steps: trace.Steps,
	}
	if err != nil {
		answer.Reason = err.Error()
	}
	if refusal, ok := errors.AsType[*denial.Denial](err); ok {
		answer.because(refusal)
	}
	if d.Api != nil {
		answer.API = d.Api.ID
	}
	if d.Plan != nil {
		answer.Plan = d.Plan.ID
	}
	return answer, nil
}

// explainRefusal tells why the request with this id was refused.
func explainRefusal(refusals *front.Refusals, id string) (any, error) {
	r, ok := refusals.Find(id)
	if !ok {
		return nil, notKept(refusals)
	}
	answer := explained{
		Reason: r.Reason, Cause: r.Cause.String(), Meaning: r.Cause.Meaning(), API: r.API, Plan: r.Plan, Application: r.Application,
		Steps:   stepsOf(&r),
		Request: &pastRequest{ID: r.ID, At: r.At.UTC().Truncate(time.Millisecond), Status: r.Status, Method: r.Method, Host: r.Host, Path: r.Path},
	}
	if r.Client.IsValid() {
		answer.Request.Client = r.Client.String()
	}
	return answer, nil
}

// stepsOf tells what is known of a refused request's way: as far as it came, and what
// was against it.
func stepsOf(r *front.Refused) []pipeline.Step {
	var steps []pipeline.Step
	passed := func(name string, detail map[string]string) {
		steps = append(steps, pipeline.Step{Name: name, Outcome: "passed", Detail: detail})
	}
	refused := func(step front.RefusedStep) {
		steps = append(steps, pipeline.Step{
			Name: step.Step, Plan: step.Plan, Outcome: step.Reason, Cause: step.Cause.String(), Detail: map[string]string{"meaning": step.Cause.Meaning()},
		})
	}
	first := ""
	if len(r.Steps) > 0 {
		first = r.Steps[0].Step
	}
	if r.API != "" && first != "route" {
		passed("route", map[string]string{"api": r.API})
		if first != "credential" {
			passed("credential", map[string]string{"kind": r.Credential})
		}
	}
	last := cause.Unspecified
	for _, step := range r.Steps {
		refused(step)
		last = step.Cause
	}
	switch {
	case last == r.Cause:
	case r.Decided:
		refused(front.RefusedStep{Step: "upstream", Plan: r.Plan, Reason: r.Reason, Cause: r.Cause})
	default:
		refused(front.RefusedStep{Step: "request", Reason: r.Reason, Cause: r.Cause})
	}
	return steps
}

// notKept says that a request is not among the refused ones that are kept.
func notKept(refusals *front.Refusals) error {
	number, most, since := refusals.Kept()
	if most == 0 {
		return errors.New("this node keeps no refused requests: explain-refusals is 0")
	}
	return fmt.Errorf("no request with this id is among the %s that this node keeps: those refused since %s, and of them the last %d",
		count(number, "refused request"), since.UTC().Format(time.RFC3339), most)
}

func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}
