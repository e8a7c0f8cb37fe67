package identity_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	floodRate    = 2000 // tokens a second
	floodWorkers = 20
)

// floodTime is how long the flood is: short, unless all of the promise is to be shown.
func floodTime() time.Duration {
	if os.Getenv("PORTCULLIS_IDENTITY") == "full" {
		return 10 * time.Second
	}
	return 2 * time.Second
}

// Tokens with unknown kids cost at most two fetches, and valid traffic little.
func TestUnknownKidFlood(t *testing.T) {
	for name, start := range map[string]func(*testing.T, string) *node{"files": serve, "fleet": serveFleet} {
		t.Run(name, func(t *testing.T) {
			idp := newKeyServer(t, "idp", httptest.NewServer)
			n := start(t, idp.resources(echo(t), ""))
			good := idp.token()
			n.becomes(t, "/idp", good, http.StatusOK)
			quiet := n.load(t, good, nil)
			// The same number of requests with a good token, for comparison.
			busy := n.load(t, good, func(stop <-chan struct{}) { n.flood(t, stop, func(int, int) string { return good }, func(int) {}) })
			fetches, memory := idp.fetches.Load(), n.metric(t, "process_resident_memory_bytes", "")
			var sent, refused atomic.Int64
			flooded := n.load(t, good, func(stop <-chan struct{}) {
				n.flood(t, stop, func(worker, i int) string { return idp.unknownKid(worker, i) }, func(status int) {
					sent.Add(1)
					if status == http.StatusUnauthorized {
						refused.Add(1)
					}
				})
			})
			more := idp.fetches.Load() - fetches
			grown := n.metric(t, "process_resident_memory_bytes", "") - memory
			t.Logf("%d unknown kids in %s, %d fetches, memory +%.1f MiB; p99 of valid traffic: %s; next to as many valid requests %s, next to the flood %s: %.2f and %.2f times that",
				sent.Load(), floodTime(), more, grown/(1<<20), quiet.p99, busy.p99, flooded.p99,
				float64(flooded.p99)/float64(quiet.p99), float64(flooded.p99)/float64(busy.p99))
			if want := int64(floodRate * floodTime().Seconds() / 2); sent.Load() < want {
				t.Errorf("the flood was %d tokens, not even half of what was meant", sent.Load())
			}
			if refused.Load() != sent.Load() {
				t.Errorf("%d of %d were answered with 401", refused.Load(), sent.Load())
			}
			if more > 2 {
				t.Errorf("%d fetches", more)
			}
			if quiet.bad+flooded.bad > 0 {
				t.Errorf("valid requests failed: %d quiet, %d flooded", quiet.bad, flooded.bad)
			}
			// Generous: the machine has the flood's client to run as well.
			if flooded.p99 > max(10*quiet.p99, 100*time.Millisecond) {
				t.Errorf("p99 of valid traffic: %s, quiet %s", flooded.p99, quiet.p99)
			}
			if grown > 64<<20 {
				t.Errorf("memory grew by %.0f bytes", grown)
			}
		})
	}
}

type measured struct {
	p99      time.Duration
	requests int
	bad      int
}

// load sends valid requests, 200 a second, and measures them, while something else goes on.
func (n *node) load(t *testing.T, token string, other func(stop <-chan struct{})) measured {
	t.Helper()
	stop := make(chan struct{})
	var group sync.WaitGroup
	if other != nil {
		group.Go(func() { other(stop) })
	}
	var mu sync.Mutex
	var took []time.Duration
	bad := 0
	for range 4 {
		group.Go(func() {
			c := n.connect(t)
			defer c.Close()
			for tick := time.NewTicker(20 * time.Millisecond); ; {
				select {
				case <-stop:
					tick.Stop()
					return
				case <-tick.C:
				}
				start := time.Now()
				status := c.get("/idp", token)
				mu.Lock()
				took = append(took, time.Since(start))
				if status != http.StatusOK {
					bad++
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(floodTime())
	close(stop)
	group.Wait()
	slices.Sort(took)
	return measured{took[len(took)*99/100], len(took), bad}
}

// flood sends floodRate requests a second.
func (n *node) flood(t *testing.T, stop <-chan struct{}, token func(worker, i int) string, answered func(status int)) {
	t.Helper()
	var group sync.WaitGroup
	for worker := range floodWorkers {
		group.Go(func() {
			c := n.connect(t)
			defer c.Close()
			tick := time.NewTicker(time.Second * floodWorkers / floodRate)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				answered(c.get("/idp", token(worker, i)))
			}
		})
	}
	group.Wait()
}

// unknownKid makes a token of the issuer that names a key which is not there.
func (s *keyServer) unknownKid(worker, i int) string {
	header := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"EdDSA","kid":"%d-%d"}`, worker, i))
	payload := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":%q,"azp":"me","exp":%d}`, s.iss(), time.Now().Unix()+3600))
	return header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
}

// conn is a client that costs little, so that what is measured is the node.
type conn struct {
	net.Conn
	in *bufio.Reader
}

func (n *node) connect(t *testing.T) *conn {
	t.Helper()
	c, err := net.Dial("tcp", n.Address)
	if err != nil {
		t.Error(err)
		return nil
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &conn{c, bufio.NewReader(c)}
}

// get returns the status; 0 if there was none.
func (c *conn) get(path, token string) int {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\n\r\n", path, token); err != nil {
		return 0
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0
	}
	return res.StatusCode
}
