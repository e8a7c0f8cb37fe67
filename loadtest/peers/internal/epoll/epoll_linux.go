// Package epoll waits for sockets on one thread, without Go's poller: the upstream
// and the generator of requests share a processor, and what they do not need
// the measurement need not bear.
package epoll

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Own makes the calling goroutine fit for a loop around a Poller: it keeps its
// thread, nothing is collected any more, and timers are exact to a microsecond.
// first lets it run before all others on its processor, where the kernel allows.
func Own(first bool) error {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	if first {
		priority := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		if err := unix.SchedSetAttr(0, &priority, 0); err != nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20) // for the superuser alone, too
		}
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	return nil
}

// Poller is an epoll(7).
type Poller struct {
	fd     int
	events []unix.EpollEvent
}

// New makes a Poller.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &Poller{fd, make([]unix.EpollEvent, 256)}, nil
}

// Close ends it.
func (p *Poller) Close() { _ = unix.Close(p.fd) }

// Add watches a socket for what can be read.
func (p *Poller) Add(fd int) error { return p.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) }

// Watch changes what a socket is watched for: EPOLLIN, EPOLLOUT.
func (p *Poller) Watch(fd int, events uint32) error { return p.control(unix.EPOLL_CTL_MOD, fd, events) }

func (p *Poller) control(op, fd int, events uint32) error {
	return unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Wait returns the sockets on which something can be done, after the timeout none;
// a negative one is no bound. They are valid until the next call. Go's scheduler is
// not told of the wait: there is nothing else for it to run.
func (p *Poller) Wait(timeout time.Duration) ([]unix.EpollEvent, error) {
	const epollPwait2 = 441 // the same on all architectures
	ts := unix.NsecToTimespec(int64(timeout))
	bound := &ts
	if timeout < 0 {
		bound = nil
	}
	//nolint:gosec // the kernel's interface
	n, _, errno := unix.RawSyscall6(epollPwait2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
		uintptr(unsafe.Pointer(bound)), 0, 0)
	if errno == unix.EINTR {
		return nil, nil
	}
	if errno != 0 {
		return nil, fmt.Errorf("epoll_pwait2: %w", errno)
	}
	return p.events[:n], nil
}

// Read is read(2), and Write write(2), without a word to Go's scheduler.
func Read(fd int, b []byte) (int, error) { return call(unix.SYS_READ, fd, b) }

// Write is write(2). b must not be empty.
func Write(fd int, b []byte) (int, error) { return call(unix.SYS_WRITE, fd, b) }

func call(number uintptr, fd int, b []byte) (int, error) {
	//nolint:gosec // the kernel's interface
	n, _, errno := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Detach takes a connection's socket away from Go's poller. The file is to be
// closed by the caller, who must keep it as long as the descriptor is used.
func Detach(c net.Conn) (*os.File, int, error) {
	defer c.Close()
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, 0, fmt.Errorf("%T is no TCP connection", c)
	}
	file, err := tcp.File()
	if err != nil {
		return nil, 0, err
	}
	fd := int(file.Fd())
	return file, fd, unix.SetNonblock(fd, true)
}
