package faults_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/procfs"
	"golang.org/x/sync/errgroup"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
)

// Tokens that come once and never again, as those of clients that fetch one for each
// request, take little memory: 100,000 of 649 bytes at most 100 MiB. Fewer are sent, for
// the time it takes, unless PORTCULLIS_FAULTS_TOKENS says how many.
func TestTokensThatComeOnceTakeLittleMemory(t *testing.T) {
	const (
		secret = "0123456789abcdef0123456789abcdef"
		length = 649
	)
	total, most := 40_000, 80<<20
	if n, err := strconv.Atoi(os.Getenv("PORTCULLIS_FAULTS_TOKENS")); err == nil {
		total, most = n, n<<10
	}
	file := filepath.Join(t.TempDir(), "resources.yaml")
	text := fmt.Sprintf(`
{kind: Issuer, id: idp, issuer: "https://idp.test", keys: {hmac_secrets: [{value: %s}]}}
---
{kind: Api, id: orders, context_path: /orders, upstream: {targets: [{url: %q}]}}
---
{kind: Plan, id: orders, api: orders, security: JWT, status: PUBLISHED, require_subscription: false, jwt: {issuers: [idp]}}
`, secret, echo(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, cluster.Options{Gateways: 1, Resources: []string{file}})
	g := c.Gateways[0]
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	token := func(n int) string {
		claims := jwt.MapClaims{
			"iss": "https://idp.test", "sub": "user", "azp": "app", "jti": fmt.Sprintf("%08d", n), "exp": time.Now().Unix() + 3600, "pad": "",
		}
		sign := func() string {
			text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
			if err != nil {
				t.Error(err)
			}
			return text
		}
		claims["pad"] = strings.Repeat("x", (length-len(sign()))*3/4)
		return sign()
	}
	idle := resident(t, g.PID())
	var next atomic.Int64
	var senders errgroup.Group
	for range 16 {
		senders.Go(func() error {
			caller := newCaller(g.Address, "")
			caller.url = "http://" + g.Address + "/orders"
			for {
				n := int(next.Add(1))
				if n > total {
					return nil
				}
				caller.token = token(n)
				if a, err := caller.call(); err != nil || a.status != http.StatusOK {
					return fmt.Errorf("token %d: %s, %w", n, a, err)
				}
			}
		})
	}
	if err := senders.Wait(); err != nil {
		t.Fatal(err)
	}
	after := resident(t, g.PID())
	if l := len(token(1)); l < length-3 || l > length+3 {
		t.Errorf("the tokens have %d bytes", l)
	}
	t.Logf("%d tokens: %d MiB resident, %d MiB more than idle", total, after>>20, (after-idle)>>20)
	if after > idle+most {
		t.Errorf("%d MiB more than idle", (after-idle)>>20)
	}
	if n := metric(t, g.Admin, "portcullis_token_cache_misses_total"); n < float64(total) {
		t.Errorf("only %v tokens were new", n)
	}
}

// resident is the memory of a process that is in use, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	p, err := procfs.NewProc(pid)
	if err != nil {
		t.Fatal(err)
	}
	status, err := p.NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	return int(status.VmRSS)
}
