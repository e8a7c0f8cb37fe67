package gateway

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/otlp"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// checkOTLP finds what is wrong between the settings of OpenTelemetry.
func (c *Config) checkOTLP() fault.List {
	var ps fault.List
	if to, err := url.Parse(c.OTLPEndpoint); err == nil && (to.RawQuery != "" || to.Fragment != "" || to.User != nil) {
		ps = append(ps, fault.Fault{Field: "otlp-endpoint", Message: "has a user, a query or a fragment", Hint: "credentials go into otlp-headers"})
	}
	if _, err := pairs(c.OTLPHeaders); err != nil {
		ps = append(ps, fault.Fault{Field: "otlp-headers", Message: err.Error()})
	}
	if _, err := pairs(c.OTLPAttributes); err != nil {
		ps = append(ps, fault.Fault{Field: "otlp-attributes", Message: err.Error()})
	}
	return ps
}

// pairs reads name=value. Its error does not repeat them: values may be secret.
func pairs(texts []string) (map[string]string, error) {
	found := map[string]string{}
	for i, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("element %d is not name=value", i+1)
		}
		if _, twice := found[name]; twice {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		found[name] = strings.TrimSpace(value)
	}
	return found, nil
}

// openOTLP prepares what is sent to a collector; nil: nothing is.
func openOTLP(cfg *Config) (*otlp.Exporter, error) {
	if cfg.OTLPEndpoint == "" {
		return nil, nil //nolint:nilnil // as said
	}
	to, err := url.Parse(cfg.OTLPEndpoint)
	if err != nil {
		return nil, fmt.Errorf("otlp-endpoint: %w", err)
	}
	headers, err := pairs(cfg.OTLPHeaders)
	if err != nil {
		return nil, fmt.Errorf("otlp-headers: %w", err)
	}
	more, err := pairs(cfg.OTLPAttributes)
	if err != nil {
		return nil, fmt.Errorf("otlp-attributes: %w", err)
	}
	about := map[string]string{"service.name": "portcullis-gateway", "service.version": cfg.Version, "service.instance.id": cfg.NodeID}
	maps.Copy(about, more)
	return otlp.New(context.Background(), otlp.Config{
		Endpoint: to, Headers: headers, Attributes: about, MetricsEvery: cfg.OTLPMetricsEvery,
		Registry: cfg.Registry, Gatherer: cfg.Registry, Logger: cfg.Logger,
	})
}

// tracing is how requests are traced; nil: they are not.
func (n *node) tracing(cfg *Config) *front.Tracing {
	if n.otlp == nil {
		return nil
	}
	return &front.Tracing{Share: float64(cfg.OTLPTraceShare), Record: n.otlp.Record}
}
