package catalog

import "unsafe"

// This file has the only unsafe code. It lets lookups return parts of a chunk as
// strings without copying them (TestLookupsDoNotAllocate). It is sound because
// bytes of a chunk are written once, before anybody is told their place, and
// because a string keeps its chunk alive.

// view is bytes as a string. They must not be written while it is in use.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // see above
}

// offsetIn is where part, which was cut out of whole, begins in it; 0 if it is empty.
func offsetIn(whole, part string) uint32 {
	if part == "" {
		return 0
	}
	from := unsafe.Pointer(unsafe.StringData(part))  //nolint:gosec // only compared
	base := unsafe.Pointer(unsafe.StringData(whole)) //nolint:gosec // only compared
	return uint32(uintptr(from) - uintptr(base))
}
