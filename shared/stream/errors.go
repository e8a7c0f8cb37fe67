package stream

import (
	"errors"
	"fmt"
)

var (
	// ErrNoLog says that NATS answers and holds no log.
	ErrNoLog = errors.New("there is no log")
	// ErrExists says that a log of this epoch, or of a later one, exists already.
	ErrExists = errors.New("a log of this or a later epoch exists")
	// ErrConflict says that the log had moved on: the expected last sequence was
	// not the last. Nothing was appended.
	ErrConflict = errors.New("the log has moved on")
	// ErrUnknown says that the answer to an append was lost: whether it happened
	// shows when some message stands at the next sequence.
	ErrUnknown = errors.New("the outcome of the append is unknown")
	// ErrUnavailable says that NATS, or the log's leader, cannot be reached at the
	// moment. An append that ends with it has not happened.
	ErrUnavailable = errors.New("the log is unavailable")
	// ErrTooLarge says that a message exceeds [Log.MaxSize]. Nothing was sent.
	ErrTooLarge = errors.New("the message is too large")
	// ErrTooOld says that the log no longer holds the next message.
	ErrTooOld = errors.New("the log no longer reaches back so far")
	// ErrRolledBack says that the log ends before the position that was reached,
	// or holds something else there.
	ErrRolledBack = errors.New("the log was rolled back")
	// ErrReplaced says that the log is gone, was created again, or that a later
	// epoch has begun.
	ErrReplaced = errors.New("the log was replaced")
)

// GapError says that the log delivered a message out of turn.
type GapError struct {
	After uint64 // the last sequence in order
	Got   uint64 // the sequence that came instead of After+1
}

// Error names both positions.
func (e *GapError) Error() string {
	return fmt.Sprintf("gap in the log: after sequence %d came %d", e.After, e.Got)
}
