package contend

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
)

// Probe is a request of which the answer is known.
type Probe struct {
	What    string
	Method  string
	Path    string
	Headers []string // names and values in turn
	Body    []byte
	Status  int
	Answer  []byte // nil: any
}

// Check makes single requests, and says which was not answered as it should be.
func (c *Contender) Check(ctx context.Context, probes []Probe) error {
	transport := &http.Transport{
		//nolint:gosec // the certificate was made a moment ago, and trust is not what is tested
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, p := range probes {
		method := p.Method
		if method == "" {
			method = http.MethodGet
		}
		req, err := http.NewRequestWithContext(ctx, method, c.Target()+p.Path, bytes.NewReader(p.Body))
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(p.Headers); i += 2 {
			req.Header.Set(p.Headers[i], p.Headers[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.Name, p.What, err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %s: %w", c.Name, p.What, err)
		case res.StatusCode != p.Status:
			return fmt.Errorf("%s: %s: answered %d, want %d: %.300s", c.Name, p.What, res.StatusCode, p.Status, body)
		case p.Answer != nil && !bytes.Equal(body, p.Answer):
			return fmt.Errorf("%s: %s: the answer has %d bytes and is not the upstream's of %d", c.Name, p.What, len(body), len(p.Answer))
		}
	}
	return nil
}
