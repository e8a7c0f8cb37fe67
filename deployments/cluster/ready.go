package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// Answers makes a check that a URL answers 200.
func Answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := get(ctx, url)
		return err
	}
}

// Live makes a check that the state of a gateway is current: a gateway also serves,
// and answers 200, while its state is old. admin is the address of its health.
func Live(admin string) func(context.Context) error {
	return func(ctx context.Context) error {
		body, err := get(ctx, "http://"+admin+"/readyz")
		if err != nil {
			return err
		}
		var readiness struct{ State string }
		if err := json.Unmarshal(body, &readiness); err != nil {
			return fmt.Errorf("http://%s/readyz: %w", admin, err)
		}
		if readiness.State != "LIVE" {
			return fmt.Errorf("http://%s/readyz: the state is %s", admin, readiness.State)
		}
		return nil
	}
}

// Accepts makes a check that an address accepts connections.
func Accepts(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// Printed makes a check that a file has a line.
func Printed(file, line string) func(context.Context) error {
	return func(context.Context) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for got := range strings.Lines(string(data)) {
			if strings.HasSuffix(got, "\n") && strings.TrimSpace(got) == line {
				return nil
			}
		}
		return errors.New("it has not printed " + line)
	}
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %.300s", url, resp.Status, body)
	}
	return body, err
}
