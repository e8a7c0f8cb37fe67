package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/portcullis-gateway/portcullis/shared/mask"
)

const (
	pingInterval     = 10 * time.Second // a dead link is seen after two of them
	dialTimeout      = 5 * time.Second  // of one server, if the context allows
	reconnectMinimum = 50 * time.Millisecond
	reconnectMaximum = 5 * time.Second
	goodbye          = 250 * time.Millisecond // to get the last signals out in Close
)

// Config says how NATS is reached.
type Config struct {
	// URLs of the servers, such as nats://10.0.0.1:4222; an element may itself be a
	// comma-separated list. Others of the cluster are found from there. Ignored
	// with InProcess.
	URLs []string
	// InProcess connects to a server in this process, without a socket.
	InProcess nats.InProcessConnProvider
	// Name of this process, unique in the fleet. It names the connection, its
	// consumers and its inboxes (_INBOX.<name>.>), so that permissions can be given
	// per process. Required.
	Name string

	// Token, CredentialsFile (JWT and seed), NKeyFile (seed): at most one.
	Token           string
	CredentialsFile string
	NKeyFile        string
	// TLS, if the servers ask for it or a private authority is to be trusted.
	TLS *tls.Config

	// RetryFirstConnect lets Connect succeed although no server answers yet, and
	// goes on trying.
	RetryFirstConnect bool

	// Logger gets connection events. Required.
	Logger *slog.Logger
}

// Bus is a connection to NATS that reconnects by itself. It is safe for concurrent use.
type Bus struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	name   string // as a subject token
	logger *slog.Logger

	undecodable atomic.Uint64
	disconnects atomic.Uint64
	renewals    atomic.Uint64

	mu      sync.Mutex
	waiting map[uint64]context.CancelCauseFunc // appends that wait for their answer
	ticket  uint64
}

// Stats are running totals since Connect.
type Stats struct {
	Undecodable uint64 // signals that were dropped because they could not be understood
	Disconnects uint64 // times the connection was lost
	Renewals    uint64 // times a follower had to replace its consumer
}

// Connect connects to NATS. The connection is checked every 10 s, and restored
// without limit, with capped and jittered pauses. Without RetryFirstConnect an
// error is returned when no server answers within 5 s each, or before ctx ends.
func Connect(ctx context.Context, cfg Config) (*Bus, error) {
	if cfg.Logger == nil || cfg.Name == "" {
		return nil, errors.New("connect to nats: a name and a logger are needed")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	b := &Bus{
		name:    token(cfg.Name),
		logger:  cfg.Logger,
		waiting: make(map[uint64]context.CancelCauseFunc),
	}
	opts, err := b.options(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	b.conn, err = nats.Connect(strings.Join(cfg.URLs, ","), opts...)
	if _, unreadable := errors.AsType[*url.Error](err); unreadable {
		err = errors.New("an address is not a URL") // the error quotes it, and a password with it
	}
	if err != nil {
		return nil, fmt.Errorf("connect to nats at %s: %w", redacted(cfg), err)
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		b.conn.Close()
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	return b, nil
}

func (b *Bus) options(ctx context.Context, cfg Config) ([]nats.Option, error) {
	if cfg.InProcess == nil && strings.Trim(strings.Join(cfg.URLs, ""), ", ") == "" {
		return nil, errors.New("no server is named")
	}
	timeout := dialTimeout
	if end, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(end))
	}
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.CustomInboxPrefix("_INBOX." + b.name),
		nats.Timeout(timeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.MaxReconnects(-1),
		// A server may refuse us for a while, until its operator has corrected that.
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(reconnectDelay),
		// What cannot be sent now is refused now: a buffer would send an append
		// long after its writer got an error.
		nats.ReconnectBufSize(-1),
		nats.RetryOnFailedConnect(cfg.RetryFirstConnect),
		nats.DisconnectErrHandler(b.disconnected),
		nats.ReconnectHandler(b.reconnected),
		nats.LameDuckModeHandler(b.lameDuck),
		nats.ErrorHandler(b.asyncError),
	}
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	}
	if cfg.TLS != nil {
		opts = append(opts, nats.Secure(cfg.TLS))
	}
	auth, err := authentication(cfg)
	if err != nil {
		return nil, err
	}
	return append(opts, auth...), nil
}

func authentication(cfg Config) ([]nats.Option, error) {
	var opts []nats.Option
	if cfg.Token != "" {
		opts = append(opts, nats.Token(cfg.Token))
	}
	if cfg.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.NKeyFile != "" {
		opt, err := nats.NkeyOptionFromSeed(cfg.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read nkey seed %s: %w", cfg.NKeyFile, err)
		}
		opts = append(opts, opt)
	}
	if len(opts) > 1 {
		return nil, errors.New("more than one of token, credentials file and nkey file is set")
	}
	return opts, nil
}

// reconnectDelay returns the pause after no known server could be reached.
func reconnectDelay(attempts int) time.Duration {
	return jittered(reconnectMinimum, reconnectMaximum, attempts)
}

// jittered gives a random pause that grows with the attempts, so that a fleet
// that lost its server does not come back all at once.
func jittered(least, most time.Duration, attempts int) time.Duration {
	limit := least << min(max(attempts, 0), 16)
	if limit <= 0 || limit > most {
		limit = most
	}
	return least + rand.N(limit) //nolint:gosec // a pause is no secret
}

func redacted(cfg Config) string {
	if cfg.InProcess != nil {
		return "the server in this process"
	}
	return mask.URL(strings.Join(cfg.URLs, ","))
}

// Close sends what is still to be sent, for at most 250 ms, and disconnects.
func (b *Bus) Close() {
	if b.conn.IsConnected() {
		_ = b.conn.FlushTimeout(goodbye) // best effort: the other side may be gone
	}
	b.conn.Close()
}

// Connected reports whether a server is connected right now.
func (b *Bus) Connected() bool { return b.conn.IsConnected() }

// Stats gives the running totals, for metrics.
func (b *Bus) Stats() Stats {
	return Stats{
		Undecodable: b.undecodable.Load(),
		Disconnects: b.disconnects.Load(),
		Renewals:    b.renewals.Load(),
	}
}

func (b *Bus) disconnected(conn *nats.Conn, err error) {
	b.disconnects.Add(1)
	b.mu.Lock()
	for _, cancel := range b.waiting {
		cancel(errCut)
	}
	b.mu.Unlock()
	if conn.IsClosed() {
		return
	}
	b.logger.LogAttrs(context.Background(), slog.LevelWarn, "nats connection lost", slog.Any("cause", err))
}

func (b *Bus) reconnected(conn *nats.Conn) {
	b.logger.LogAttrs(context.Background(), slog.LevelInfo, "nats connected again",
		slog.String("server", conn.ConnectedUrlRedacted()))
}

// A server that is about to stop hands its streams over first and closes the
// connection afterwards, so there is nothing to do but to say so.
func (b *Bus) lameDuck(conn *nats.Conn) {
	b.logger.LogAttrs(context.Background(), slog.LevelInfo, "nats server is about to stop",
		slog.String("server", conn.ConnectedUrlRedacted()))
}

func (b *Bus) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	b.logger.LogAttrs(context.Background(), slog.LevelWarn, "nats reports an error",
		slog.String("subject", subject), slog.Any("cause", err))
}

var errCut = errors.New("the connection was lost")

// untilCut derives a context that also ends when the connection is lost.
func (b *Bus) untilCut(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	b.mu.Lock()
	b.ticket++
	ticket := b.ticket
	b.waiting[ticket] = cancel
	b.mu.Unlock()
	return ctx, func() {
		b.mu.Lock()
		delete(b.waiting, ticket)
		b.mu.Unlock()
		cancel(nil)
	}
}

// token writes a name as one token of a subject, so that different names stay
// different: other bytes than letters, digits, - and _ become =XX.
func token(name string) string {
	plain := func(c byte) bool {
		return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	var out strings.Builder
	for i := range len(name) {
		if c := name[i]; plain(c) {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "=%02X", c)
		}
	}
	return out.String()
}
