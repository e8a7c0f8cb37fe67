// Package cow has immutable hash tables with cheap successive versions: hash
// array mapped tries (Bagwell 2001) with fan-out 32 whose leaves hold up to 64
// entries side by side.
//
// A Table holds entries of any type, which need not hold their own key: callers
// bring a hash, and a function that reports whether an entry is the one they mean. So
// an entry can be eight bytes that say where the rest is. A Map is a Table of
// keys and values.
//
// Either is a value that never changes; copying it is free and reading it needs
// no lock. An edit makes the next version: it copies the few nodes on the way to
// what it changes, and writes in place in nodes it has copied already. Bulk
// builds a Table from nothing in a fraction of the time of an edit, with leaves
// that have no room to spare.
//
// A full leaf is split in two, and both stay in the branch they were in for as
// long as it has slots for them (as in extendible hashing). So leaves are half
// full at least, whatever the number of entries, and the overhead is a few bytes
// for each entry.
package cow
