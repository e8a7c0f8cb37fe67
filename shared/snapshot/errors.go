package snapshot

import "errors"

// What can be wrong with a snapshot. Errors of this package wrap one of these
// and say where; errors of the underlying reader are wrapped as they are.
var (
	// ErrMagic: these bytes are no snapshot at all.
	ErrMagic = errors.New("not a snapshot (bad magic)")
	// ErrFormat: a snapshot of another version of the format.
	ErrFormat = errors.New("unknown snapshot format")
	// ErrTruncated: the end is missing.
	ErrTruncated = errors.New("the snapshot is truncated")
	// ErrCorrupt: the bytes are damaged.
	ErrCorrupt = errors.New("the snapshot is corrupt")
	// ErrChecksum: the bytes are well formed, and not those that were written.
	ErrChecksum = errors.New("the snapshot's checksum is wrong")
	// ErrNone: the directory holds no snapshot.
	ErrNone = errors.New("there is no snapshot")
)
