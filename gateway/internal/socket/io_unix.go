//go:build unix && (ordinarycalls || !(linux && (amd64 || arm64)))

package socket

import (
	"errors"

	"golang.org/x/sys/unix"
)

const hasRawCalls = true

// read reads from a non-blocking descriptor; again: there is nothing yet.
func read(fd uintptr, p []byte) (n int, again bool, err error) { return transfer(unix.Read, fd, p) }

// write writes to a non-blocking descriptor; again: there is no room.
func write(fd uintptr, p []byte) (n int, again bool, err error) { return transfer(unix.Write, fd, p) }

func transfer(call func(int, []byte) (int, error), fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err = call(int(fd), p)
		switch {
		case err == nil:
			return n, false, nil
		case errors.Is(err, unix.EAGAIN):
			return 0, true, nil
		case !errors.Is(err, unix.EINTR):
			return 0, false, err
		}
	}
}

// quiet reports whether a socket is open and has nothing to read.
func quiet(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if !errors.Is(err, unix.EINTR) {
			return errors.Is(err, unix.EAGAIN)
		}
	}
}
