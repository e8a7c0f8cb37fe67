package front

import (
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

func TestWithMetadata(t *testing.T) {
	both := withMetadata(denial.MissingAnyCredentials.Answer(0).Challenge, "u")
	if want := `Bearer realm="portcullis", resource_metadata="u", ApiKey realm="portcullis", resource_metadata="u"`; both != want {
		t.Errorf("got %s, want %s", both, want)
	}
}

func TestCountedRefusalsAreBounded(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry())
	d := denial.InvalidToken.Because(cause.Audience)
	for i := range maxCountedRefusals + 100 {
		m.refuse(&pipeline.Api{ID: strconv.Itoa(i)}, d)
	}
	if len(m.refusals) > maxCountedRefusals+1 || m.refusals[refusalKind{otherApis, d.Reason(), d.Cause()}] == nil {
		t.Errorf("%d counters", len(m.refusals))
	}
	if n := m.denied.Load(); n != maxCountedRefusals+100 {
		t.Errorf("%d refusals in all", n)
	}
}

func TestCountedApisAreBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	ids := make([]byte, 0, 8)
	for i := range maxCountedApis + 100 {
		ids = append(ids[:0], byte('a'+i%26), byte('a'+i/26%26), byte('a'+i/676%26), byte('a'+i/17576))
		m.answered(&pipeline.Api{ID: string(ids)}, 200, 0)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); f.GetName() == "portcullis_request_duration_seconds" && n != maxTimedApis+1 {
			t.Errorf("%d histograms", n)
		}
	}
	if len(m.apis) > maxCountedApis+1 {
		t.Errorf("%d Apis have counters", len(m.apis))
	}
	other := &pipeline.Api{ID: "new"}
	if m.of(other) != m.apis[otherApis] || m.of(other) != m.of(&pipeline.Api{ID: "newer"}) {
		t.Error("later ones do not share counters")
	}
}
