package stream

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
)

const (
	streamPrefix  = "PORTCULLIS-"
	subjectPrefix = "portcullis."
	maxEpoch      = 999_999

	// What an append may carry at most in our configuration of NATS, and what is
	// kept back from it for headers.
	maxPayload = 8 << 20
	headroom   = 4 << 10

	epochIDKey = "founding"       // in the stream's metadata
	firstKey   = "first_sequence" // in the stream's metadata

	answerTimeout  = time.Second      // after which a question is asked again
	requestTimeout = 5 * time.Second  // of one request to JetStream
	createTimeout  = 20 * time.Second // the replicas elect a leader first
)

// Identity distinguishes a log from every other.
type Identity struct {
	Epoch   uint64
	EpochID string // 26 characters, drawn at random when the stream was created
	Stream  string // PORTCULLIS- and the epoch in six digits
}

// Log is the log of one epoch. It is safe for concurrent use.
type Log struct {
	bus      *Bus
	identity Identity
	first    uint64 // the sequence its first message had or will have
	subject  string // the prefix of all its subjects
}

func newLog(b *Bus, epoch, first uint64, id string) *Log {
	return &Log{
		bus:      b,
		identity: Identity{Epoch: epoch, EpochID: id, Stream: streamName(epoch)},
		first:    first,
		subject:  fmt.Sprintf("%s%06d.log.%s.", subjectPrefix, epoch, id),
	}
}

func streamName(epoch uint64) string { return fmt.Sprintf("%s%06d", streamPrefix, epoch) }

// Identity returns which log this is.
func (l *Log) Identity() Identity { return l.identity }

// First returns the sequence that the log's first message had or will have. What
// stands before it belongs to earlier epochs.
func (l *Log) First() uint64 { return l.first }

// Find returns the log of the highest epoch, or ErrNoLog.
func (b *Bus) Find(ctx context.Context) (*Log, error) {
	epoch, err := b.newestEpoch(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the log: %w", err)
	}
	if epoch == 0 {
		return nil, fmt.Errorf("find the log: %w", ErrNoLog)
	}
	log, err := b.open(ctx, epoch)
	if err != nil {
		return nil, fmt.Errorf("find the log: %w", err)
	}
	return log, nil
}

// CreateLog creates the log of an epoch (1 to 999999), whose first message will have
// the sequence first (at least 1), with the given number of replicas; 0 stands
// for 3 on a cluster and 1 otherwise.
//
// A log of a later epoch, or of this epoch with another first sequence, makes it
// fail with ErrExists. If replicas that start together create the same log, all of
// them get the one that was created first.
func (b *Bus) CreateLog(ctx context.Context, epoch, first uint64, replicas int) (*Log, error) {
	log, err := b.createLog(ctx, epoch, first, replicas)
	if err != nil {
		return nil, fmt.Errorf("begin epoch %d at sequence %d: %w", epoch, first, err)
	}
	return log, nil
}

func (b *Bus) createLog(ctx context.Context, epoch, first uint64, replicas int) (*Log, error) {
	switch {
	case epoch == 0 || epoch > maxEpoch:
		return nil, fmt.Errorf("the epoch must be between 1 and %d", maxEpoch)
	case first == 0:
		return nil, errors.New("the first sequence must be at least 1")
	case replicas < 0 || replicas > 5:
		return nil, fmt.Errorf("%d replicas: must be between 1 and 5, or 0 for the default", replicas)
	case replicas == 0:
		replicas = b.defaultReplicas()
	}
	newest, err := b.newestEpoch(ctx)
	if err != nil {
		return nil, err
	}
	if newest > epoch {
		return nil, fmt.Errorf("%w: epoch %d", ErrExists, newest)
	}
	if newest == epoch {
		return b.existing(ctx, epoch, first)
	}
	log := newLog(b, epoch, first, ulid.Make().String())
	err = b.create(ctx, log.config(replicas))
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return b.existing(ctx, epoch, first)
	}
	if err != nil {
		return nil, err
	}
	return log, nil
}

// existing returns a log that another founder was first to create, if it is the
// same that was asked for.
func (b *Bus) existing(ctx context.Context, epoch, first uint64) (*Log, error) {
	ctx, done := b.asking(ctx, createTimeout)
	defer done()
	log, err := b.open(ctx, epoch)
	for errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNoLog) { // it is not quite there yet
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(electionPause):
		}
		log, err = b.open(ctx, epoch)
	}
	if err != nil {
		return nil, err
	}
	if log.first != first {
		return nil, fmt.Errorf("%w: epoch %d, which began at sequence %d", ErrExists, epoch, log.first)
	}
	return log, nil
}

func (b *Bus) create(ctx context.Context, config jetstream.StreamConfig) error {
	ctx, done := b.asking(ctx, createTimeout)
	defer done()
	_, err := b.js.CreateStream(ctx, config)
	return unavailable(ctx, err)
}

func (b *Bus) defaultReplicas() int {
	if b.conn.ConnectedClusterName() != "" {
		return 3
	}
	return 1
}

// newestEpoch returns the highest epoch that has a stream; 0 if none has. Like
// info, it asks again each second: a question that falls into an election of the
// cluster's leader is never answered.
func (b *Bus) newestEpoch(ctx context.Context) (uint64, error) {
	ctx, done := b.asking(ctx, requestTimeout)
	defer done()
	newest, err := b.listEpochs(ctx)
	for errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		newest, err = b.listEpochs(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("list streams: %w", unavailable(ctx, err))
	}
	return newest, nil
}

func (b *Bus) listEpochs(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	newest := uint64(0)
	names := b.js.StreamNames(ctx, jetstream.WithStreamListSubject(subjectPrefix+"*.log.>"))
	for name := range names.Name() {
		if epoch, ok := epochOf(name); ok {
			newest = max(newest, epoch)
		}
	}
	return newest, names.Err()
}

func epochOf(stream string) (uint64, bool) {
	digits, ok := strings.CutPrefix(stream, streamPrefix)
	if !ok || len(digits) != 6 {
		return 0, false
	}
	epoch, err := strconv.ParseUint(digits, 10, 64)
	return epoch, err == nil && epoch > 0
}

func (b *Bus) open(ctx context.Context, epoch uint64) (*Log, error) {
	info, err := b.info(ctx, streamName(epoch))
	if err != nil {
		return nil, err
	}
	id, first, err := epochIDOf(info)
	if err != nil {
		return nil, err
	}
	return newLog(b, epoch, first, id), nil
}

func epochIDOf(info *jetstream.StreamInfo) (id string, first uint64, err error) {
	id = info.Config.Metadata[epochIDKey]
	first, err = strconv.ParseUint(info.Config.Metadata[firstKey], 10, 64)
	if err != nil || !regexp.MustCompile(`^[0-9A-Z]{26}$`).MatchString(id) {
		return "", 0, fmt.Errorf("stream %s was not created by Portcullis: its metadata has no id of an epoch in %q", info.Config.Name, epochIDKey)
	}
	return id, first, nil
}

// info asks the leader of a stream. Without a leader any replica may answer,
// possibly with the past, so such an answer does not count. A question that
// falls into a change of leaders is never answered, so it is asked again each
// second.
func (b *Bus) info(ctx context.Context, stream string) (*jetstream.StreamInfo, error) {
	ctx, done := b.asking(ctx, requestTimeout)
	defer done()
	info, err := b.ask(ctx, stream)
	for errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		info, err = b.ask(ctx, stream)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: no stream %s", ErrNoLog, stream)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for stream %s: %w", stream, unavailable(ctx, err))
	}
	if info.Cluster != nil && info.Cluster.Leader == "" {
		return nil, fmt.Errorf("ask for stream %s: %w: it has no leader", stream, ErrUnavailable)
	}
	return info, nil
}

func (b *Bus) ask(ctx context.Context, stream string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// ours asks the leader of the log's stream and checks that it is still the same.
func (l *Log) ours(ctx context.Context) (*jetstream.StreamInfo, error) {
	info, err := l.bus.info(ctx, l.identity.Stream)
	if errors.Is(err, ErrNoLog) {
		return nil, fmt.Errorf("%w: stream %s is gone", ErrReplaced, l.identity.Stream)
	}
	if err != nil {
		return nil, err
	}
	id, _, err := epochIDOf(info)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReplaced, err)
	}
	if id != l.identity.EpochID {
		return nil, fmt.Errorf("%w: stream %s is of the epoch with the id %s, not %s",
			ErrReplaced, l.identity.Stream, id, l.identity.EpochID)
	}
	return info, nil
}

// Bounds asks the leader for the first and last sequence the log holds. In an
// empty log first is last+1. The error is ErrReplaced if the log is gone.
func (l *Log) Bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := l.ours(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of the log: %w", err)
	}
	first, last = bounds(info)
	return first, last, nil
}

func bounds(info *jetstream.StreamInfo) (first, last uint64) {
	if info.State.Msgs == 0 {
		return info.State.LastSeq + 1, info.State.LastSeq
	}
	return info.State.FirstSeq, info.State.LastSeq
}

// asking limits a request to JetStream, which also ends with the connection, since
// its answer could not arrive any more.
func (b *Bus) asking(ctx context.Context, limit time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	ctx, done := b.untilCut(ctx)
	return ctx, func() {
		done()
		cancel()
	}
}

// unavailable marks what means that NATS could not be asked, rather than that it
// refused.
func unavailable(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), errCut) {
		return fmt.Errorf("%w: %w", ErrUnavailable, errCut)
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	switch {
	case ok && api.Code < 500:
		return err
	case ok,
		errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, nats.ErrTimeout),
		errors.Is(err, nats.ErrReconnectBufExceeded),
		errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrConnectionReconnecting),
		errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return err
	}
}
