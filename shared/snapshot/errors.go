package snapshot

import "errors"

// What can be wrong with a snapshot or a journal. Errors of this package wrap one
// of these and say where; errors of the underlying reader are wrapped as they are.
var (
	// ErrMagic: these bytes are no snapshot, or no journal, at all.
	ErrMagic = errors.New("bad magic: these bytes are something else")
	// ErrFormat: one of another version of the format.
	ErrFormat = errors.New("unknown format")
	// ErrTruncated: the end is missing.
	ErrTruncated = errors.New("truncated")
	// ErrCorrupt: the bytes are damaged.
	ErrCorrupt = errors.New("corrupt")
	// ErrChecksum: the bytes are well formed, and not those that were written.
	ErrChecksum = errors.New("the checksum is wrong")
	// ErrNone: the directory holds no snapshot.
	ErrNone = errors.New("there is no snapshot")
)
