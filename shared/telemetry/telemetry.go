// Package telemetry makes what every process of Portcullis needs to be seen
// from outside: its logger, its metrics registry and its version.
//
// There are no globals: a process that runs several services has a registry
// for each of them, and what a package measures it registers at the registry
// it is given.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Log says how a process logs. Embed it into the settings of a program.
type Log struct {
	// Format is json or text.
	Format string `setting:"log-format" enum:"json,text" help:"log as json or text"`
	// Level is debug, info, warn or error.
	Level string `setting:"log-level" enum:"debug,info,warn,error" help:"log this and what is more severe: debug, info, warn, error"`
}

// DefaultLog is text at the level info.
func DefaultLog() Log { return Log{Format: "text", Level: "info"} }

// NewLogger makes a logger that writes to w. The error names the setting.
func (l Log) NewLogger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	switch l.Level {
	case "debug":
		level = slog.LevelDebug
	case "info":
		level = slog.LevelInfo
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	default:
		return nil, fmt.Errorf("log-level: %q is none of debug, info, warn, error", l.Level)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch l.Format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	default:
		return nil, fmt.Errorf("log-format: %q is none of json, text", l.Format)
	}
}

// NewRegistry makes a metrics registry that has the Go runtime, the process
// and portcullis_build_info{service, version, go_version} in it.
func NewRegistry(service string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "portcullis_build_info", Help: "Always 1; the labels tell which build is running.",
		ConstLabels: prometheus.Labels{"service": service, "version": Version(), "go_version": runtime.Version()},
	})
	info.Set(1)
	r.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// MetricsHandler serves registries together, in the text formats of Prometheus.
// When one collector fails, the others are served still.
func MetricsHandler(registries ...prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers(registries), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}
