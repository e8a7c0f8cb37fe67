// Package fronttest is what every front must pass: how it reads requests, what of
// them it refuses, its limits of time and number, how it drains, and that it keeps
// to the contract of exchange.Answer.
package fronttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// Front is a server of the front under test.
type Front interface {
	Run(ctx context.Context, ln net.Listener) error
	Totals() (requests, denials uint64)
}

// suite is the tests of one front.
type suite struct {
	open func(front.Config) (Front, error)
}

// Run tests the front that open makes.
func Run(t *testing.T, open func(front.Config) (Front, error)) {
	t.Helper()
	s := suite{open}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"refused forms", s.refusedForms},
		{"accepted forms", s.acceptedForms},
		{"odd names do not exist", s.oddNamesDoNotExist},
		{"pipelined requests", s.pipelinedRequests},
		{"100-continue only after authentication", s.continueOnlyAfterAuthentication},
		{"denials", s.denials},
		{"request ids are ours", s.requestIDsAreOurs},
		{"request ids of trusted proxies", s.requestIDsOfProxies},
		{"a share of the requests is logged", s.aShareIsLogged},
		{"refusals are logged", s.refusalsAreLogged},
		{"which requests are logged", s.whichRequestsAreLogged},
		{"refusals left out of the log are counted", s.refusalsLeftOut},
		{"answers", s.answers},
		{"broken answers are cut", s.brokenAnswersAreCut},
		{"slow bodies", s.slowBodies},
		{"slow readers", s.slowReaders},
		{"hijack", s.hijack},
		{"drain", s.drain},
		{"drain gives up in time", s.drainGivesUpInTime},
		{"time limits of connections", s.timeLimitsOfConnections},
		{"connections of one client", s.connectionsOfOneClient},
		{"end before the beginning", s.endBeforeTheBeginning},
		{"pages", s.pages},
		{"the challenge names the metadata", s.challengeNamesTheMetadata},
		{"requests are counted by Api", s.requestsAreCountedByApi},
		{"TLS", s.tLS},
		{"TLS resumption", s.tLSResumption},
		{"the certificate is read again", s.certificateIsReadAgain},
		{"handshakes end in time", s.handshakesEndInTime},
		{"trusted proxies", s.trustedProxies},
		{"client certificate in a field", s.clientCertHeader},
		{"client certificate in the forms of proxies", s.clientCertForms},
		{"client certificate in a field, of others", s.clientCertHeaderOfOthers},
		{"a proxy's own certificate", s.proxysOwnCertificate},
	} {
		t.Run(test.name, test.run)
	}
}

// node is a running front with an upstream that counts and echoes what reaches it.
type node struct {
	address  string
	upstream *upstream
	registry *prometheus.Registry
	log      *syncBuffer
	server   Front
	stop     context.CancelFunc
	done     chan error
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// node decides by the request's X-Token: "ok" goes on, "panic" panics, no token is
// denied.
func (s suite) node(t *testing.T, change func(*front.Config)) *node {
	t.Helper()
	n := &node{registry: prometheus.NewRegistry(), log: &syncBuffer{}, done: make(chan error, 1), upstream: newUpstream(t)}
	config := front.Config{
		Logger: slog.New(slog.NewTextHandler(n.log, nil)), Registry: n.registry,
		ReadTimeout: 500 * time.Millisecond, IdleTimeout: time.Second, DrainTimeout: 3 * time.Second,
		Decide: n.upstream.decide,
	}
	if change != nil {
		change(&config)
	}
	var err error
	if n.server, err = s.open(config); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() { n.done <- n.server.Run(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-n.done:
			_ = err // it was looked at where it matters
		case <-time.After(5 * time.Second):
			t.Error("Run did not return")
		}
	})
	return n
}

// upstream is an exchange.Upstream without a network: it answers with the request
// that a target would get.
type upstream struct {
	forward.Settings
	reached atomic.Int64
	// closed are the answer bodies that the front has closed.
	closed atomic.Int64
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	settings, faults := compile.NewUpstream(&pb.Upstream{
		Targets: []*pb.Target{{Url: "http://upstream.test"}}, MaxRequestBody: &pb.ByteSize{Bytes: 1000},
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return &upstream{Settings: forward.Settings{Upstream: settings}}
}

// decide is a front.Config.Decide.
func (u *upstream) decide(r *request.Request, d *pipeline.Decision) error {
	d.Api = &pipeline.Api{ID: "orders", Upstream: u}
	token, count := r.Header.Get("X-Token")
	if url, n := request.QueryValue(r.Query, "metadata"); n == 1 {
		d.Api.ResourceMetadata = url
	}
	if query, n := request.QueryValue(r.Query, "format"); n == 1 {
		d.Api.Format = pb.Api_ErrorFormat(pb.Api_ErrorFormat_value[query])
	}
	switch {
	case count == 0:
		return denial.MissingCredentials
	case count > 1:
		return denial.InvalidRequest.Because(cause.CredentialAmbiguous)
	}
	switch string(token) {
	case "ok":
	case "panic":
		panic("on purpose")
	case "method":
		d.Allow = []string{"GET", "HEAD"}
		return denial.MethodNotAllowed.Because(cause.MethodFiltered)
	case "fault":
		return errors.New("secret detail")
	default:
		return denial.InvalidToken.Because(cause.Audience)
	}
	d.Forward = exchange.Forward{To: u, Path: r.Path, Query: r.Query}
	return nil
}

// Send implements exchange.Upstream. The parameter "sleep" delays the answer,
// "answer" names one of another kind.
func (u *upstream) Send(x *exchange.Exchange, f *exchange.Forward) error {
	if err := u.Check(x, f); err != nil {
		return err
	}
	var body []byte
	if x.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(x.Body, u.MaxRequestBody+1)); err != nil {
			return forward.ClientFault(err)
		}
		if int64(len(body)) > u.MaxRequestBody {
			return forward.ClientFault(forward.ErrTooLarge)
		}
	}
	u.reached.Add(1)
	sleep, _ := request.QueryValue(f.Query, "sleep")
	if d, err := time.ParseDuration(sleep); err == nil {
		time.Sleep(d)
	}
	if kind, n := request.QueryValue(f.Query, "answer"); n == 1 {
		return u.answer(x, kind)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s %s %q", x.Request.Method, u.AppendTarget(nil, "", f), u.AppendHost(nil, &u.Targets[0], x), body)
	for line := range strings.SplitSeq(string(forward.AppendFields(nil, x, f)), "\r\n") {
		if name, _, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "X-Forwarded-") || strings.Contains(strings.ToLower(name), "cert") || name == "X-A" || name == front.IDHeader || strings.HasPrefix(strings.ToLower(name), "trace") {
			text.WriteString("\n" + line)
		}
	}
	x.Answer.Head(&exchange.Head{Status: 200, Length: int64(text.Len()), Fields: []exchange.Field{{Name: []byte("Content-Type"), Value: []byte("text/plain")}}})
	if !bytes.Equal(x.Request.Method, []byte("HEAD")) {
		x.Answer.Bytes([]byte(text.String()))
	}
	return nil
}

// send sends text and returns everything that comes back.
func (n *node) send(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Error(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b, _ := io.ReadAll(c)
	return string(b)
}

// counted returns the sum of a counter where one of its labels has this value.
func (n *node) counted(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

func status(answer string) string {
	_, rest, _ := strings.Cut(answer, " ")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

const (
	token = "X-Token: ok\r\n"
	end   = "Connection: close\r\n\r\n"
)
