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
// So a state must be built apart, and used only afterwards.
//
// Dir keeps snapshots on disk, two generations of them, such that a crash at
// any moment leaves a valid one.
//
// Journal keeps the entries of the log that came after them, so that a node can
// come back to where it was. A journal is a file in the same directory:
//
//	"PCJRNL", one byte with the format's number
//	epoch                               8 bytes
//	base                                8 bytes: the sequence before the first entry
//	id of the epoch                     one byte with its length, and its bytes
//	checksum                            4 bytes, of all before it
//	frame …                             one for each write that was waited for:
//	    size of the body                4 bytes
//	    checksum                        4 bytes, of the frame before and the size
//	    checksum                        4 bytes, of that and the body
//	    time                            8 bytes, milliseconds since 1970
//	    sequence                        8 bytes, of the first entry
//	    entries                         length-delimited, verbatim; sequences count up by one
//
// Numbers are little endian, lengths unsigned varints, checksums CRC-32C. They go
// on from frame to frame, so that a frame is right only at its offset in its file.
// A frame is begun when the one before it is on disk: damage at the end of a file
// is a write that was cut short and never reported as done; elsewhere it is a
// fault of the disk.
package snapshot
