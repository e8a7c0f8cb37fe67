package introspect

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

// metadataTTL is how long discovered metadata are used.
const metadataTTL = time.Hour

// server is where to ask, and how.
type server struct {
	endpoint string
	pss      bool // takes client assertions with PS256
}

// metadata remembers what discovery has found.
type metadata struct {
	mu    sync.Mutex
	found server
	at    time.Time
}

// server returns where to ask: as configured, or by discovery. Old metadata stay
// in use while no new ones can be had.
func (c *Client) server(ctx context.Context) (server, error) {
	if c.settings.url != "" {
		return server{endpoint: c.settings.url}, nil
	}
	m := &c.metadata
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return server{}, fault(Timeout, "the provider's metadata did not come in time")
	}
	if m.found.endpoint != "" && time.Since(m.at) < metadataTTL {
		return m.found, nil
	}
	found, err := c.discover(ctx)
	if err == nil {
		m.found, m.at = found, time.Now()
		return found, nil
	}
	if m.found.endpoint == "" {
		return server{}, err
	}
	m.at = time.Now().Add(time.Minute - metadataTTL) // asked again in a minute
	return m.found, nil
}

const metadataOf = "the provider's metadata"

// discover asks the issuer's metadata (OpenID Connect Discovery 1.0 section 4,
// RFC 8414 section 2), where the server has them.
func (c *Client) discover(ctx context.Context) (found server, err error) {
	for _, address := range c.settings.metadata {
		var absent bool
		if found, absent, err = c.discoverAt(ctx, address); !absent {
			break
		}
	}
	return found, err
}

// discoverAt asks one address; absent: the server has nothing there.
func (c *Client) discoverAt(ctx context.Context, address string) (found server, absent bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return server{}, false, fault(Undiscovered, metadataOf+": the issuer is no URL")
	}
	body, err := c.do(request, metadataOf, token.MaxObject)
	if err != nil {
		failure, ok := errors.AsType[*Error](err)
		return server{}, ok && (failure.Outcome == BadStatus && !failure.counts || failure.Outcome == Unauthorized), fault(Undiscovered, err.Error())
	}
	found, err = c.readMetadata(body)
	return found, false, err
}

func (c *Client) readMetadata(body []byte) (server, error) {
	claims, err := token.ParseObject(body)
	if err != nil {
		return server{}, fault(Undiscovered, metadataOf+" are no JSON object that can be trusted: "+err.Error())
	}
	if issuer, _ := claims.Text("issuer"); issuer != c.settings.issuer {
		return server{}, fault(Undiscovered, metadataOf+" speak for another issuer")
	}
	endpoint, _ := claims.Text("introspection_endpoint")
	if err := checkURL(endpoint, c.settings.issuer); err != nil {
		return server{}, fault(Undiscovered, metadataOf+": introspection_endpoint: "+err.Error())
	}
	algorithms, _ := claims.Strings("introspection_endpoint_auth_signing_alg_values_supported")
	return server{endpoint: endpoint, pss: slices.Contains(algorithms, "PS256")}, nil
}
