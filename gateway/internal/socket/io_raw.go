//go:build linux && (amd64 || arm64) && !ordinarycalls

package socket

import (
	"syscall"
	"unsafe"
)

const hasRawCalls = true

// The sockets are non-blocking, so none of these calls keeps its thread longer
// than it works: the scheduler need not know about it.

// read reads from a socket; again: there is nothing yet.
func read(fd uintptr, p []byte) (n int, again bool, err error) {
	return transfer(syscall.SYS_RECVFROM, fd, p)
}

// write writes to a socket; again: there is no room.
func write(fd uintptr, p []byte) (n int, again bool, err error) {
	return transfer(syscall.SYS_SENDTO, fd, p)
}

func transfer(call, fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		r, _, errno := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_NOSIGNAL, 0, 0) //nolint:gosec // as the package syscall itself does it
		switch errno {
		case 0:
			return int(r), false, nil
		case syscall.EAGAIN:
			return 0, true, nil
		case syscall.EINTR:
		default:
			return 0, false, errno
		}
	}
}

// quiet reports whether a socket is open and has nothing to read.
func quiet(fd uintptr) bool {
	var b byte
	for {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // as above
		if errno != syscall.EINTR {
			return errno == syscall.EAGAIN
		}
	}
}
