package socket

import (
	"errors"
	"os"
	"time"
)

//nolint:gochecknoglobals // a constant: where the clock begins
var start = time.Now()

// Now is a monotonic clock in nanoseconds, half as dear as time.Now.
func Now() int64 { return int64(time.Since(start)) + 1 }

// dueAt returns a deadline by the clock of Now; 0: none.
func dueAt(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if due := int64(t.Sub(start)) + 1; due != 0 {
		return due
	}
	return 1
}

// deadline is what the runtime was told about when to end an operation.
type deadline struct {
	set   func(time.Time) error
	armed int64 // 0: for never
}

// ensure sees to it that the runtime ends operations at due, or earlier.
func (d *deadline) ensure(due int64) error {
	if due == 0 || d.armed != 0 && d.armed <= due {
		return nil
	}
	return d.arm(due)
}

// arm tells the runtime to end operations at due; 0: never.
func (d *deadline) arm(due int64) error {
	d.armed = due
	if due == 0 {
		return d.set(time.Time{})
	}
	return d.set(start.Add(time.Duration(due - 1)))
}

// early reports whether err came from a deadline that was armed for an earlier time
// than due.
func early(due int64, err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && (due == 0 || Now() < due)
}
