package telemetry

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestLogger(t *testing.T) {
	for name, tc := range map[string]struct {
		log  Log
		want string // in the output; empty: NewLogger fails
	}{
		"json":       {Log{"json", "info"}, `"msg":"it warns","key":"value"`},
		"text":       {Log{"text", "warn"}, `msg="it warns" key=value`},
		"default":    {DefaultLog(), `msg="it warns" key=value`},
		"bad format": {Log{"xml", "info"}, ""},
		"bad level":  {Log{"json", "INFO"}, ""},
	} {
		var b bytes.Buffer
		logger, err := tc.log.NewLogger(&b)
		if (err == nil) != (tc.want != "") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		logger.LogAttrs(t.Context(), slog.LevelDebug, "it is quiet")
		logger.LogAttrs(t.Context(), slog.LevelWarn, "it warns", slog.String("key", "value"))
		if got := b.String(); !strings.Contains(got, tc.want) || strings.Contains(got, "quiet") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestMetrics(t *testing.T) {
	a, b := NewRegistry("gateway"), prometheus.NewRegistry()
	n := prometheus.NewCounter(prometheus.CounterOpts{Name: "portcullis_test_total", Help: "h"})
	b.MustRegister(n)
	n.Inc()
	rec := httptest.NewRecorder()
	MetricsHandler(a, b).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	for _, want := range []string{`portcullis_build_info{go_version="go1`, `service="gateway"`, "go_goroutines ", "process_", "portcullis_test_total 1"} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("no %q in %s", want, rec.Body)
		}
	}
}
