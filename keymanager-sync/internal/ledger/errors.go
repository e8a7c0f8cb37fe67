package ledger

import (
	"errors"
	"fmt"
)

var (
	// ErrUnavailable is what a write is refused with while the store is not live or
	// the log cannot be reached; the error is an *Unavailable with the reason.
	ErrUnavailable = errors.New("writes are refused")
	// ErrUncertain: the log did not say in time whether it took the entry. It
	// happens whole or not at all; a repetition with the same idempotency key is safe.
	ErrUncertain = errors.New("the log has not confirmed the change in time; it may still take effect (hint: repeat it with the same Idempotency-Key)")
	// ErrTimeout: the time was up before the command was decided.
	ErrTimeout = errors.New("the time was up before the change was decided; nothing was changed (hint: repeat the request)")
	// ErrContended: other replicas wrote in between again and again until the time was up.
	ErrContended = errors.New("other writers were faster until the time was up; nothing was changed (hint: repeat the request)")
	// ErrKeyTooLong: an idempotency key has more than 256 bytes.
	ErrKeyTooLong = fmt.Errorf("an idempotency key has at most %d bytes", maxKey)
	// ErrInternal: deciding the command failed because of a fault in the program.
	ErrInternal = errors.New("the change could not be decided because of an internal fault; nothing was changed")
)

// Unavailable is ErrUnavailable with its reason.
type Unavailable struct { //nolint:errname // the detail of ErrUnavailable
	Reason string
}

func (e *Unavailable) Error() string { return "writes are refused: " + e.Reason }

// Is makes errors.Is(err, ErrUnavailable) hold.
func (e *Unavailable) Is(target error) bool { return target == ErrUnavailable }

// TooLarge says that a transaction does not fit into one message of the log.
type TooLarge struct { //nolint:errname // its users read ledger.TooLarge
	Bytes, Limit int
}

func (e *TooLarge) Error() string {
	return fmt.Sprintf("the change needs %d bytes in the log, more than the %d that one message may have (hint: send it in parts with `keymanager-sync import`)", e.Bytes, e.Limit)
}

// KeyReuse says that an idempotency key came with another command before.
type KeyReuse struct { //nolint:errname // its users read ledger.KeyReuse
	Key, Before string
}

func (e *KeyReuse) Error() string {
	return fmt.Sprintf("idempotency key %q was used before, for %q (hint: a new request needs a new key)", e.Key, e.Before)
}
