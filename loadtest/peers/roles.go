//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/churn"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/load"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/serve"
)

// playRole is what this program is when it was started by itself.
func playRole(ctx context.Context, args []string) error {
	if len(args) > 1 { // the servers have nothing to bring to an end
		context.AfterFunc(ctx, func() { os.Exit(0) })
	}
	switch {
	case len(args) == 1 && args[0] == "pace":
		return answer(ctx, load.RunPace)
	case len(args) == 1 && args[0] == "churn":
		return answer(ctx, churn.Run)
	case len(args) == 2 && args[0] == "upstream":
		return serve.Upstream(args[1])
	case len(args) == 3 && args[0] == "bare":
		return serve.Bare(args[1], args[2], nil)
	case len(args) == 5 && args[0] == "bare":
		pair, err := tls.LoadX509KeyPair(args[3], args[4])
		if err != nil {
			return err
		}
		return serve.Bare(args[1], args[2], &pair)
	}
	return fmt.Errorf("no role %q", args)
}

// answer gives a role its configuration from standard input, and prints its result.
func answer[C, R any](ctx context.Context, role func(context.Context, C) (*R, error)) error {
	var cfg C
	if err := json.NewDecoder(os.Stdin).Decode(&cfg); err != nil {
		return err
	}
	r, err := role(ctx, cfg)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}
