package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/account"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/churn"
)

// Roles are the generators that this program is itself, as processes of their own.
type Roles struct {
	Self      string
	Processor int
}

// role is a started one.
type role struct {
	cmd         *exec.Cmd
	out, stderr bytes.Buffer
}

func (r Roles) start(ctx context.Context, name string, cfg any) (*role, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	args := account.Pinned(r.Processor, []string{r.Self, "role", name})
	started := &role{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	started.cmd.Stdin = bytes.NewReader(text)
	started.cmd.Stdout, started.cmd.Stderr = &started.out, &started.stderr
	return started, started.cmd.Start()
}

// end waits for the role's result.
func (r *role) end(result any) error {
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, r.stderr.String())
	}
	return json.Unmarshal(r.out.Bytes(), result)
}

// Pace makes requests at a fixed rate each second.
func (r Roles) Pace(ctx context.Context, q Requests, rate float64, duration time.Duration) (*Result, error) {
	started, err := r.start(ctx, "pace", Pace{q, rate, duration.Seconds()})
	if err != nil {
		return nil, err
	}
	result := new(Result)
	if err := started.end(result); err != nil {
		return nil, fmt.Errorf("requests at a fixed rate: %w", err)
	}
	return result, nil
}

// Churn begins to write changes; stop ends it and returns what was written.
func (r Roles) Churn(ctx context.Context, cfg churn.Config) (stop func() (*churn.Result, error), err error) {
	started, err := r.start(ctx, "churn", cfg)
	if err != nil {
		return nil, err
	}
	return func() (*churn.Result, error) {
		result := new(churn.Result)
		interrupted := started.cmd.Process.Signal(syscall.SIGTERM)
		err := started.end(result)
		if err == nil {
			if got := float64(result.Changes) / float64(result.Microseconds) * 1e6; got < cfg.Rate*0.97 {
				err = fmt.Errorf("only %.0f of %.0f changes could be written each second", got, cfg.Rate)
			}
		}
		return result, errors.Join(err, interrupted)
	}, nil
}
