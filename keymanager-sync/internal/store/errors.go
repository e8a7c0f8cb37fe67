package store

import (
	"errors"
	"fmt"
)

var (
	// ErrBusy: as many snapshots are being downloaded as may be at once.
	ErrBusy = errors.New("too many snapshot downloads at once")
	// ErrEmpty: the store has joined no log yet, so there is nothing to show.
	ErrEmpty = errors.New("this replica has joined no log yet")
	// ErrLocked: another process has the store's file open.
	ErrLocked = errors.New("another process is using the data directory")
)

// HoldError says why the store is on hold.
type HoldError struct {
	Reason string
}

func (e *HoldError) Error() string { return "on hold: " + e.Reason }

func holdf(format string, args ...any) error {
	return &HoldError{Reason: fmt.Sprintf(format, args...)}
}
