package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxAge = 7 * 24 * time.Hour

	// A server allows a stream 1,000 consumers if the stream says nothing, and a
	// fleet that reconnects leaves some behind for a minute.
	maxConsumers = 20_000

	// Appends carry no id that the server looks at: the expected sequence already
	// keeps them from happening twice, and a duplicate would be acknowledged with
	// the sequence of the first. The window has to have some value.
	duplicates = 2 * time.Minute
)

// config is what the log's stream is created with, and what Audit compares with.
func (l *Log) config(replicas int) jetstream.StreamConfig {
	firstSeq := l.first
	if firstSeq == 1 {
		firstSeq = 0 // the server's way of saying it
	}
	return jetstream.StreamConfig{
		Name:              l.identity.Stream,
		Description:       "Portcullis: every change of one epoch. Never delete messages from it.",
		Subjects:          []string{l.subject + ">"},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Replicas:          replicas,
		MaxAge:            maxAge,
		MaxConsumers:      maxConsumers,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        -1,
		Discard:           jetstream.DiscardNew, // should a limit be set: refuse, never forget
		Duplicates:        duplicates,
		FirstSeq:          firstSeq,
		DenyDelete:        true,
		DenyPurge:         true,
		Metadata: map[string]string{
			epochIDKey: l.identity.EpochID,
			firstKey:   strconv.FormatUint(l.first, 10),
		},
	}
}

// Audit compares the stream's configuration with the one it was created with,
// and says what differs; all differences in one error. It also looks at what the
// server allows a message to weigh. It cannot see whether the servers sync every
// write.
func (l *Log) Audit(ctx context.Context) error {
	info, err := l.ours(ctx)
	if err != nil {
		return fmt.Errorf("audit the log: %w", err)
	}
	have := info.Config
	want := l.config(max(l.bus.defaultReplicas(), 1))
	faults := differences(have, want)
	if have.Replicas < want.Replicas {
		faults = append(faults, fmt.Errorf("num_replicas is %d, should be %d", have.Replicas, want.Replicas))
	}
	if limit := l.bus.conn.MaxPayload(); limit < maxPayload {
		faults = append(faults, fmt.Errorf("the server's max_payload is %d, should be %d", limit, maxPayload))
	}
	if len(faults) > 0 {
		return fmt.Errorf("audit the log: stream %s: %w", l.identity.Stream, errors.Join(faults...))
	}
	return nil
}

func differences(have, want jetstream.StreamConfig) []error {
	var faults []error
	compare := func(name string, have, want any) {
		if have != want {
			faults = append(faults, fmt.Errorf("%s is %v, should be %v", name, have, want))
		}
	}
	compare("subjects", strings.Join(have.Subjects, ","), strings.Join(want.Subjects, ","))
	compare("retention", have.Retention, want.Retention)
	compare("storage", have.Storage, want.Storage)
	compare("discard", have.Discard, want.Discard)
	compare("max_age", have.MaxAge, want.MaxAge)
	compare("max_consumers", have.MaxConsumers, want.MaxConsumers)
	compare("max_msgs", have.MaxMsgs, want.MaxMsgs)
	compare("max_bytes", have.MaxBytes, want.MaxBytes)
	compare("max_msgs_per_subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	compare("max_msg_size", have.MaxMsgSize, want.MaxMsgSize)
	compare("duplicate_window", have.Duplicates, want.Duplicates)
	compare("deny_delete", have.DenyDelete, want.DenyDelete)
	compare("deny_purge", have.DenyPurge, want.DenyPurge)
	compare("no_ack", have.NoAck, want.NoAck)
	compare("sealed", have.Sealed, want.Sealed)
	compare("allow_rollup_hdrs", have.AllowRollup, want.AllowRollup)
	compare("allow_msg_ttl", have.AllowMsgTTL, want.AllowMsgTTL)
	compare("allow_msg_counter", have.AllowMsgCounter, want.AllowMsgCounter)
	compare("allow_msg_schedules", have.AllowMsgSchedules, want.AllowMsgSchedules)
	compare("allow_atomic", have.AllowAtomicPublish, want.AllowAtomicPublish)
	compare("allow_batched", have.AllowBatchPublish, want.AllowBatchPublish)
	compare("persist_mode async", have.PersistMode == jetstream.AsyncPersistMode, false)
	compare("a mirror", have.Mirror != nil, false)
	compare("the number of sources", len(have.Sources), 0)
	compare("a subject transform", have.SubjectTransform != nil, false)
	compare("a republication", have.RePublish != nil, false)
	return faults
}
