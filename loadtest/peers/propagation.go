//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
)

const (
	propagationNodes   = 5
	propagationToggles = 1000
)

// propagate measures how long a change takes to be in force on five nodes: the
// fleet of loadtest/faults, on all processors.
func (s *stage) propagate(ctx context.Context) error {
	if len(s.workloads) > 0 && !slices.Contains(s.workloads, propagation) || len(s.workloads) == 0 && len(s.only) > 0 {
		return nil
	}
	toggles := propagationToggles
	if s.rounds > 0 {
		toggles = 100 * s.rounds
	}
	s.say("%s: %d changes to be in force on %d nodes", propagation, toggles, propagationNodes)
	file := filepath.Join(s.dir, "propagation.json")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestToggles$/^seen$", "-timeout", "10m", "./loadtest/faults")
	cmd.Dir = s.root
	cmd.Env = cluster.Environment(os.Environ(), "PORTCULLIS_FAULTS_GATEWAYS="+strconv.Itoa(propagationNodes),
		"PORTCULLIS_FAULTS_TOGGLES="+strconv.Itoa(toggles), "PORTCULLIS_FAULTS_RESULT="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", propagation, err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p := new(figures.Propagation)
	if err := json.Unmarshal(data, p); err != nil {
		return err
	}
	s.results.Propagation = p
	s.say("  p50 %.2f ms, p99 %.2f ms, max %.2f ms", p.P50, p.P99, p.Max)
	return nil
}

// scale takes the figures that `go tool task scale` left, if it did.
func (s *stage) scale() error {
	data, err := os.ReadFile(filepath.Join(s.root, ".task", "scale.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.results.Scale = new(figures.Scale)
	return json.Unmarshal(data, s.results.Scale)
}
