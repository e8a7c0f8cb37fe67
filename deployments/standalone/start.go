package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-gateway/portcullis/deployments/standalone/internal/demo"
	"github.com/portcullis-gateway/portcullis/gateway"
	keymanager "github.com/portcullis-gateway/portcullis/keymanager-sync"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/shared/stream/inprocess"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

const (
	startTimeout  = 2 * time.Minute // of each part, on a slow machine
	pollEvery     = 20 * time.Millisecond
	keysTimeout   = 5 * time.Second // for the keys of all issuers
	tokenLifetime = 12 * time.Hour
)

// start runs everything until ctx ends. Parts start in the order in which they
// need each other, and end the other way round.
func start(ctx context.Context, cfg settings, logger *slog.Logger, stdout io.Writer) error {
	if cfg.NodeToken == "" {
		cfg.NodeToken = rand.Text() // between the two parts of this process
	}
	dir := filepath.Join(cfg.DataDir, "nats")
	_, err := os.Stat(dir)
	first := errors.Is(err, fs.ErrNotExist)
	nats, err := inprocess.Start(ctx, inprocess.Config{
		Dir: dir, Name: "standalone", Listen: cfg.NATSListen, Token: cfg.NATSToken,
		Logger: logger.With(slog.String("part", "nats")),
	})
	if err != nil {
		return err
	}
	defer nats.Stop()
	s := &standalone{settings: cfg, nats: nats.URL(), first: first, logger: logger, stdout: stdout}
	return s.run(ctx)
}

// standalone is a running one.
type standalone struct {
	settings
	nats    string
	first   bool // nats had no directory before
	logger  *slog.Logger
	stdout  io.Writer
	issuer  *demo.Issuer
	client  *api.Client
	control string // base URLs, once they listen
	proxy   string
	admin   string
}

func (s *standalone) run(ctx context.Context) error {
	// The control plane outlives the gateway by a moment, so that the gateway
	// ends without complaints.
	control, endControl := context.WithCancel(context.WithoutCancel(ctx))
	defer endControl()
	g, gctx := errgroup.WithContext(ctx)
	if s.Demo {
		if err := s.startDemo(gctx, g); err != nil {
			return err
		}
	}
	controls, controlUp := new(errgroup.Group), make(chan string, 1)
	controls.Go(func() error { return keymanager.Run(control, s.controlConfig(controlUp)) })
	controlDone := make(chan error, 1)
	go func() { controlDone <- controls.Wait() }()
	err := s.up(gctx, g, controlUp, controlDone)
	if err == nil {
		select {
		case <-gctx.Done():
		case err = <-controlDone:
			controlDone <- err
		}
	}
	if err != nil {
		g.Go(func() error { return err }) // ends the others
	}
	err = g.Wait()
	endControl()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, <-controlDone)
}

// up brings the parts up one after another and prints how to use them.
func (s *standalone) up(ctx context.Context, g *errgroup.Group, controlUp chan string, controlDone chan error) error {
	select {
	case addr := <-controlUp:
		s.control = "http://" + addr
	case err := <-controlDone:
		controlDone <- nil
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := await(ctx, "the control plane", func(ctx context.Context) error { return isOK(ctx, s.control+"/readyz", "") }); err != nil {
		return err
	}
	token, err := s.adminToken()
	if err != nil {
		return err
	}
	if s.client, err = api.New(api.Config{Addresses: []string{s.control}, Token: token}); err != nil {
		return err
	}
	if err := s.applyResources(ctx); err != nil {
		return err
	}
	gatewayUp := make(chan [2]string, 1)
	g.Go(func() error { return gateway.Run(ctx, s.gatewayConfig(gatewayUp)) })
	select {
	case addrs := <-gatewayUp:
		s.proxy, s.admin = "http://"+addrs[0], "http://"+addrs[1]
	case <-ctx.Done():
		return ctx.Err()
	}
	// It serves from its disk at once; `ready` is to mean that it has caught up.
	if err := await(ctx, "the gateway", func(ctx context.Context) error { return hasApplied(ctx, s.admin+"/readyz", 0) }); err != nil {
		return err
	}
	if err := s.awaitKeys(ctx); err != nil {
		return err
	}
	return s.welcome(ctx)
}

func (s *standalone) controlConfig(up chan string) keymanager.Config {
	c := keymanager.DefaultConfig()
	c.Listen, c.NATS, c.DataDir, c.LogReplicas = s.ControlListen, s.nats, s.DataDir, 1
	c.AdminToken, c.NodeToken, c.NATSToken = s.AdminToken, s.NodeToken, s.NATSToken
	c.Logger, c.Registry = s.logger.With(slog.String("part", "keymanager-sync")), telemetry.NewRegistry("keymanager-sync")
	c.Out, c.LookupEnv, c.Version, c.First = s.stdout, os.LookupEnv, telemetry.Version(), s.first
	c.Listening = func(addr string) { up <- addr }
	return c
}

func (s *standalone) gatewayConfig(up chan [2]string) gateway.Config {
	c := gateway.DefaultConfig()
	c.Listen, c.AdminListen = s.GatewayListen, s.GatewayAdminListen
	c.Control, c.NATS, c.NATSToken = []string{s.control}, []string{s.nats}, s.NATSToken
	c.NodeToken, c.DataDir = s.NodeToken, filepath.Join(s.DataDir, "gateway")
	c.NodeID = "standalone"
	c.Logger, c.Registry = s.logger.With(slog.String("part", "gateway")), telemetry.NewRegistry("gateway")
	c.LookupEnv, c.Version = os.LookupEnv, telemetry.Version()
	c.Listening = func(proxy, admin string) { up <- [2]string{proxy, admin} }
	return c
}

// startDemo serves the demo issuer and upstream.
func (s *standalone) startDemo(ctx context.Context, g *errgroup.Group) error {
	var lc net.ListenConfig
	issuer, err := lc.Listen(ctx, "tcp", s.DemoIssuerListen)
	if err != nil {
		return fmt.Errorf("demo-issuer-listen: %w", err)
	}
	upstream, err := lc.Listen(ctx, "tcp", s.DemoUpstreamListen)
	if err != nil {
		return errors.Join(fmt.Errorf("demo-upstream-listen: %w", err), issuer.Close())
	}
	s.DemoIssuerListen, s.DemoUpstreamListen = issuer.Addr().String(), upstream.Addr().String()
	if s.issuer, err = demo.NewIssuer("http://"+s.DemoIssuerListen, s.DataDir); err != nil {
		return errors.Join(err, issuer.Close(), upstream.Close())
	}
	serve(ctx, g, issuer, s.issuer.Handler())
	serve(ctx, g, upstream, demo.Upstream())
	return nil
}

func serve(ctx context.Context, g *errgroup.Group, ln net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	g.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
}

// applyResources brings the demo's and the user's resources in force.
func (s *standalone) applyResources(ctx context.Context) error {
	if s.Demo {
		text := demo.Resources("http://"+s.DemoIssuerListen, "http://"+s.DemoUpstreamListen)
		if err := s.apply(ctx, "demo resources", text); err != nil {
			return err
		}
	}
	for _, file := range s.Resources {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("resources: %w", err)
		}
		if err := s.apply(ctx, file, string(text)); err != nil {
			return err
		}
	}
	return nil
}

func (s *standalone) apply(ctx context.Context, name, text string) error {
	_, _, err := s.client.Apply(ctx, api.Apply{Files: []api.File{{Name: name, Data: []byte(text)}}})
	if err != nil {
		return fmt.Errorf("apply %s: %w", name, err)
	}
	return nil
}

func (s *standalone) adminTokenFile() string { return filepath.Join(s.DataDir, "admin-token") }

func (s *standalone) adminToken() (string, error) {
	if s.AdminToken != "" {
		return s.AdminToken, nil
	}
	b, err := os.ReadFile(s.adminTokenFile())
	return strings.TrimSpace(string(b)), err
}

// welcome prints the addresses and, with the demo, what to try first. The line
// `ready` comes when it is true: the first curl line has answered 200.
func (s *standalone) welcome(ctx context.Context) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("gateway        %s", s.proxy)
	line("gateway admin  %s  (/readyz, /metrics)", s.admin)
	line("control plane  %s  (/openapi.yaml; the admin token is in %s)", s.control, s.tokenPlace())
	line("NATS           %s", s.nats)
	if s.Demo {
		url := s.proxy + demo.ContextPath + "/hello"
		token, err := s.issuer.Token(demo.ClientID, tokenLifetime, nil)
		if err != nil {
			return err
		}
		if err := await(ctx, "the demo API", func(ctx context.Context) error { return isOK(ctx, url, token) }); err != nil {
			return err
		}
		line("demo issuer    http://%s", s.DemoIssuerListen)
		line("demo upstream  http://%s", s.DemoUpstreamListen)
		line("\nwith a token, 200:\n\n  curl -i -H 'Authorization: Bearer %s' %s", token, url)
		line("\nwithout, 401:\n\n  curl -i %s\n", url)
	}
	line("ready")
	_, err := io.WriteString(s.stdout, b.String())
	return err
}

// awaitKeys waits until the control plane has fetched the keys of all issuers and the
// gateway has them, so that the first request finds them. A key server that is away
// does not keep the start for long.
func (s *standalone) awaitKeys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	var missing []string
	newest := uint64(0)
	for issuer, err := range s.client.Issuers().List(ctx, nil) {
		if err != nil {
			return fmt.Errorf("issuers: %w", err)
		}
		if len(issuer.GetKeys().GetJwksUrls()) == 0 && !issuer.GetDiscovery() {
			continue
		}
		err := await(ctx, "a key set", func(ctx context.Context) error {
			set, err := s.client.KeySets().Get(ctx, issuer.GetId())
			newest = max(newest, set.Sequence)
			return err
		})
		if err != nil {
			missing = append(missing, issuer.GetId())
		}
	}
	if len(missing) > 0 {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "ready without the keys of some issuers: their tokens are answered with 503 until the keys are there",
			slog.Any("issuers", missing))
		return nil
	}
	return await(ctx, "the gateway", func(ctx context.Context) error { return hasApplied(ctx, s.admin+"/readyz", newest) })
}

func (s *standalone) tokenPlace() string {
	if s.AdminToken != "" {
		return "PORTCULLIS_ADMIN_TOKEN"
	}
	return s.adminTokenFile()
}

// await polls until a part works.
func await(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("%s is not ready after %s", what, startTimeout))
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}

// isOK asks for 200.
func isOK(ctx context.Context, url, token string) error {
	_, err := ask(ctx, url, token)
	return err
}

// hasApplied asks a gateway whether its state is current, and is that of this sequence or later.
func hasApplied(ctx context.Context, url string, sequence uint64) error {
	body, err := ask(ctx, url, "")
	if err != nil {
		return err
	}
	var answer struct {
		State    string
		Sequence uint64
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if answer.State != "LIVE" || answer.Sequence < sequence {
		return fmt.Errorf("%s: %s", url, body)
	}
	return nil
}

// ask returns the beginning of an answer with status 200.
func ask(ctx context.Context, url, token string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", url, res.Status, body) // as much of the body as arrived explains the status
	}
	return body, err
}
