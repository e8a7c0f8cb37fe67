// Package snapshot reads and writes the state at one sequence of the log, as
// control planes send it to nodes and as nodes keep it on disk.
//
// A snapshot is the same bytes in a file and in an HTTP body:
//
//	"PCSNAP", one byte with the format's number, then one zstd stream (RFC 8878) of
//	    SnapshotHeader                  length-delimited
//	    Change × header.changes         length-delimited, verbatim
//	    number of changes               8 bytes, little endian
//	    SHA-256                         32 bytes, of all uncompressed bytes before the number of changes
//
// A length is an unsigned varint. Nothing that Reader hands out counts before
// it has reported io.EOF: only then are number and checksum known to be right.
// So a state must be built aside and put in place afterwards.
//
// Dir keeps snapshots on disk, two generations of them, such that a crash at
// any moment leaves a valid one.
package snapshot
