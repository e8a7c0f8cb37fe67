package front

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// TestRefusalsAreBounded: neither number nor length of what is sent makes them grow.
func TestRefusalsAreBounded(t *testing.T) {
	const number = 8
	r := NewRefusals(number)
	core, err := NewCore(Config{})
	if err != nil {
		t.Fatal(err)
	}
	call := new(Call)
	long := bytes.Repeat([]byte("x"), 64<<10)
	var ids []string
	add := func() {
		core.Begin(call)
		call.Exchange.Request.Method, call.Exchange.Request.Host, call.Exchange.Request.Path = long, long, long
		call.Decision.Api, call.Decision.Application = &pipeline.Api{ID: string(long)}, string(long)
		r.add(call, 401, denial.InvalidToken.Because(cause.Audience))
		ids = append(ids, string(call.ID()))
	}
	for range 3 * number {
		add()
	}
	for i, id := range ids {
		found, ok := r.Find(id)
		if ok != (i >= 2*number) || ok && (found.Cause != cause.Audience || found.Path != strings.Repeat("x", maxKeptPath)) {
			t.Errorf("refusal %d: %v %+v", i, ok, found)
		}
	}
	kept, most, since := r.Kept()
	if first, _ := r.Find(ids[2*number]); kept != number || most != number || !since.Equal(first.At) {
		t.Errorf("%d of %d since %s", kept, most, since)
	}
	for i := range r.slots {
		if size := int(unsafe.Sizeof(r.slots[i])) + cap(r.slots[i].text); size > MaxRefusal {
			t.Errorf("a refusal takes %d bytes", size)
		}
	}
	if nothing := NewRefusals(0); nothing != nil {
		t.Error("0 keeps some")
	}
	var none *Refusals
	none.add(call, 401, denial.InvalidToken)
	if _, ok := none.Find(ids[0]); ok {
		t.Error("what keeps none has found one")
	}
}

// TestRefusalsAreCopied: the memory of a request is used for the next one.
func TestRefusalsAreCopied(t *testing.T) {
	core, err := NewCore(Config{})
	if err != nil {
		t.Fatal(err)
	}
	r, call := NewRefusals(2), new(Call)
	core.Begin(call)
	path := []byte("/orders")
	call.Exchange.Request.Path = path
	id := string(call.ID())
	r.add(call, 404, denial.APINotFound.Because(cause.NoRoute))
	copy(path, "/secret")
	if found, _ := r.Find(id); found.Path != "/orders" {
		t.Errorf("it has become %s", found.Path)
	}
}
