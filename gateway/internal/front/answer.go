package front

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// IDHeader is the field with a request's id, in every answer.
const IDHeader = "X-Request-Id"

// Refuse answers a request that failed with err, which becomes a denial. It is the
// one place where errors become answers.
func (c *Core) Refuse(call *Call, err error) (refused *denial.Denial) {
	refused, ok := errors.AsType[*denial.Denial](err)
	if !ok {
		refused = denial.Internal
	}
	writeDenial(call, refused)
	c.metrics.refuse(call.Decision.Api, refused)
	return refused
}

// Answered counts and logs an answer with this status and a body of length bytes, given
// now or begun. err and refused are why it is a denial; nil: it is none.
func (c *Core) Answered(call *Call, status int, length int64, refused *denial.Denial, err error) {
	now := time.Now()
	c.metrics.answered(call.Decision.Api, status, now.Sub(call.began))
	if refused != nil {
		c.Config.Refusals.add(call, status, refused)
	}
	logged := c.logs(call, status, refused)
	traced := call.Exchange.Traceparent != nil && call.trace.sampled
	if !logged && !traced {
		return
	}
	r := newRecord(call, status, length, refused, err, now)
	call.body.whenDone(func(sent int64, at time.Time) {
		if !at.IsZero() {
			r.AnswerBytes, r.Took = sent, at.Sub(r.Began)
		}
		if logged {
			c.log(r)
		}
		if traced {
			c.Config.Tracing.Record(r)
		}
	})
}

// logs reports whether an answer has its line in the log.
func (c *Core) logs(call *Call, status int, refused *denial.Denial) bool {
	if !c.Config.Logger.Enabled(context.Background(), levelOf(status)) {
		return false
	}
	switch c.Config.AccessLog {
	case LogNone:
		return false
	case LogAll:
		if refused == nil && status < http.StatusInternalServerError {
			return c.Config.LogShare >= 1 || rand.Float64() < c.Config.LogShare //nolint:gosec // a sample
		}
	case LogRefused:
	}
	kind := lineKind{}
	if call.Decision.Api != nil {
		kind.api = call.Decision.Api.ID
	}
	if refused != nil {
		kind.cause = refused.Cause()
	}
	return (refused != nil || status >= http.StatusInternalServerError) && c.throttle.admit(kind)
}

// Unreadable answers what the HTTP stack could not read as a request, for which d
// is the denial and err the cause. It is logged unless the client just went away.
func (c *Core) Unreadable(call *Call, d *denial.Denial, err error, logged bool) {
	writeDenial(call, d)
	status := d.Answer(call.Decision.Format()).Status
	c.metrics.refuse(nil, d)
	c.Config.Refusals.add(call, status, d)
	c.metrics.answered(nil, status, 0)
	if logged && c.logs(call, status, d) {
		c.log(newRecord(call, status, 0, d, err, time.Now()))
	}
}

// ID is the call's id.
func (call *Call) ID() []byte { return call.id }

// ownHead is the head of an answer of the gateway's own. Its memory is used again.
type ownHead struct {
	head exchange.Head
	text []byte
}

// begin starts a head. HEAD requests get the length of the body, too.
func (h *ownHead) begin(status, length int) {
	h.head = exchange.Head{Status: status, Length: int64(length), Fields: h.head.Fields[:0]}
	h.text = h.text[:0]
}

func (h *ownHead) add(name, value string) {
	start := len(h.text)
	h.text = append(append(h.text, name...), value...)
	middle := start + len(name)
	h.head.Fields = append(h.head.Fields, exchange.Field{Name: h.text[start:middle:middle], Value: h.text[middle:len(h.text):len(h.text)]})
}

// writeDenial answers with the prebuilt answer of d.
func writeDenial(call *Call, d *denial.Denial) {
	x, decision, h := &call.Exchange, &call.Decision, &call.own
	a := d.Answer(decision.Format())
	body, contentType := a.Body, a.ContentType
	if a.Text != nil && !acceptsJSON(x) {
		body, contentType = a.Text, denial.TextContentType
	}
	h.begin(a.Status, len(body))
	h.add("Content-Type", contentType)
	h.add("Cache-Control", "no-store")
	if challenge := a.Challenge; challenge != "" {
		if a.Status == http.StatusUnauthorized && decision.Api != nil && decision.Api.ResourceMetadata != "" {
			challenge = withMetadata(challenge, decision.Api.ResourceMetadata)
		}
		h.add("WWW-Authenticate", challenge) // in this spelling, which people search for
	}
	switch {
	case decision.Refusal.Limited():
		h.add("Retry-After", strconv.FormatInt(decision.Refusal.RetryAfter(), 10))
		h.add("RateLimit", string(decision.Refusal.AppendRateLimit(nil)))
		h.add("RateLimit-Policy", decision.Refusal.RateLimitPolicy())
	case a.RetryAfter != "":
		h.add("Retry-After", a.RetryAfter)
	}
	if a.Status == http.StatusMethodNotAllowed {
		// RFC 9110 section 15.5.6 asks for the field, even if it is empty.
		h.add("Allow", strings.Join(decision.Allow, ", "))
	}
	x.Answer.Head(&h.head)
	x.Answer.Bytes(body)
}

// withMetadata adds where an Api's metadata is to each part of a challenge (RFC
// 9728 section 5.1): behind the realm, since a scheme's parameters stand together.
func withMetadata(challenge, url string) string {
	const realm = `realm="` + denial.Realm + `"`
	return strings.ReplaceAll(challenge, realm, realm+`, resource_metadata="`+url+`"`)
}

// writePage answers with what is the same for everybody. Scripts of other origins
// may read it: it is public.
func writePage(call *Call, page *pipeline.Page) {
	h := &call.own
	h.begin(http.StatusOK, len(page.Body))
	h.add("Content-Type", page.ContentType)
	h.add("Cache-Control", "public, max-age=300")
	h.add("Access-Control-Allow-Origin", "*")
	call.Exchange.Answer.Head(&h.head)
	call.Exchange.Answer.Bytes(page.Body)
}

// acceptsJSON says what Gravitee's gateway would: any mention counts.
func acceptsJSON(x *exchange.Exchange) bool {
	if x.Fields == nil {
		return false
	}
	accept, _ := x.Fields.Get("Accept")
	return bytes.Contains(accept, []byte("application/json")) || bytes.Contains(accept, []byte("*/*"))
}

// parties returns the ids of the Api and the plan that a request was for; empty: not
// known. The plan is the one that let it through, or else that refused it.
func (call *Call) parties(refused *denial.Denial) (api, plan string) {
	d := &call.Decision
	if d.Api != nil {
		api = d.Api.ID
	}
	switch {
	case d.Plan != nil:
		plan = d.Plan.ID
	case refused != nil:
		for r := range d.Refusals {
			if plan == "" && r.Because.Cause() == refused.Cause() {
				plan = r.Plan
			}
		}
	}
	return api, plan
}
