package stream

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Signals go over core NATS: processes that listen at this moment hear them, nothing
// keeps them, and the next one makes up for one that was lost.
const (
	headSubject      = "portcullis.head"
	heartbeatSubject = "portcullis.heartbeat."
	refreshSubject   = "portcullis.keys.refresh"
	refreshQueue     = "keymanager"

	// Of one subscription whose callback is slow; more is dropped and logged.
	pendingSignals     = 16 << 10
	pendingSignalBytes = 16 << 20
)

// PublishHead announces how far the log has come. It is an error to be
// disconnected; nothing is kept for later.
func (b *Bus) PublishHead(head *pb.Head) error {
	return b.publish(headSubject, head)
}

// SubscribeHeads calls fn with every head that is published, one after the
// other, until unsubscribe is called, which waits for a call in progress and so
// must not be made from within fn.
func (b *Bus) SubscribeHeads(fn func(*pb.Head)) (unsubscribe func(), err error) {
	return subscribe(b, headSubject, "", func(_ string, head *pb.Head) bool {
		fn(head)
		return true
	})
}

// PublishHeartbeat reports a node's state to the control plane.
func (b *Bus) PublishHeartbeat(beat *pb.Heartbeat) error {
	if beat.GetNode() == "" {
		return errors.New("publish heartbeat: the node has no name")
	}
	return b.publish(heartbeatSubject+token(beat.GetNode()), beat)
}

// SubscribeHeartbeats is like SubscribeHeads. A heartbeat whose node is not the
// one its subject names is dropped and counted: permissions are per subject, so
// that no node can speak for another.
func (b *Bus) SubscribeHeartbeats(fn func(*pb.Heartbeat)) (unsubscribe func(), err error) {
	return subscribe(b, heartbeatSubject+"*", "", func(subject string, beat *pb.Heartbeat) bool {
		if beat.GetNode() == "" || strings.TrimPrefix(subject, heartbeatSubject) != token(beat.GetNode()) {
			return false
		}
		fn(beat)
		return true
	})
}

// PublishKeyRefresh asks the control plane to fetch an issuer's keys.
func (b *Bus) PublishKeyRefresh(refresh *pb.KeyRefresh) error {
	return b.publish(refreshSubject, refresh)
}

// SubscribeKeyRefresh is like SubscribeHeads, but each request reaches only one
// of all subscribers.
func (b *Bus) SubscribeKeyRefresh(fn func(*pb.KeyRefresh)) (unsubscribe func(), err error) {
	return subscribe(b, refreshSubject, refreshQueue, func(_ string, refresh *pb.KeyRefresh) bool {
		fn(refresh)
		return true
	})
}

func (b *Bus) publish(subject string, signal proto.Message) error {
	data, err := proto.Marshal(signal)
	if err == nil {
		err = b.conn.Publish(subject, data)
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", subject, err)
	}
	return nil
}

// subscribe decodes what arrives. What cannot be decoded, or is not accepted by
// fn, is dropped and counted.
func subscribe[T any, M interface {
	*T
	proto.Message
}](b *Bus, subject, queue string, fn func(subject string, signal M) bool) (func(), error) {
	var mu sync.Mutex
	closed := false
	sub, err := b.conn.QueueSubscribe(subject, queue, func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if closed {
			return
		}
		signal := M(new(T))
		if proto.Unmarshal(msg.Data, signal) != nil || !fn(msg.Subject, signal) {
			b.undecodable.Add(1)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(pendingSignals, pendingSignalBytes); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return func() {
		_ = sub.Unsubscribe() // fails only if the connection is closed, and then it is gone too
		mu.Lock()
		closed = true
		mu.Unlock()
	}, nil
}
