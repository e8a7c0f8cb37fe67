package serve

import (
	"bytes"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/epoll"
)

// upstream answers requests in one thread. It shares a processor with the load
// generator, so it does no more than it must: it looks at the last part of the path
// and at Content-Length, and sends an answer that was rendered before.
type upstream struct {
	poller  *epoll.Poller
	ears    int // the listening socket
	clients map[int32]*client
	answers map[string][]byte
	small   []byte
}

type client struct {
	fd   int
	in   []byte // of one request at most
	rest []byte // of the answer, that the socket did not take yet
	skip int    // bytes of the request's body still to come
	next []byte // the answer, once the body has come
}

// Upstream serves Bodies until the process ends.
func Upstream(address string) error {
	if err := epoll.Own(false); err != nil {
		return err
	}
	u := &upstream{clients: map[int32]*client{}, answers: map[string][]byte{}, small: render([]byte(Answer))}
	for name, body := range Bodies() {
		u.answers[name] = render(body)
	}
	var err error
	if u.ears, err = hear(address); err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	if u.poller, err = epoll.New(); err != nil {
		return err
	}
	if err := u.poller.Add(u.ears); err != nil {
		return err
	}
	for {
		if err := u.turn(); err != nil {
			return err
		}
	}
}

// turn waits for something to do, and does it.
func (u *upstream) turn() error {
	events, err := u.poller.Wait(-1)
	if err != nil {
		return err
	}
	for _, e := range events {
		if int(e.Fd) != u.ears {
			u.serve(u.clients[e.Fd])
		} else if err := u.accept(); err != nil {
			return err
		}
	}
	return nil
}

func render(body []byte) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	return append([]byte(head), body...)
}

// hear makes a listening socket.
func hear(address string) (int, error) {
	addr, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	return fd, errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}),
		unix.Listen(fd, 4096))
}

func (u *upstream) accept() error {
	for {
		fd, _, err := unix.Accept4(u.ears, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), u.poller.Add(fd)); err != nil {
			return err
		}
		u.clients[int32(fd)] = &client{fd: fd, in: make([]byte, 0, bufferSize)}
	}
}

// serve goes on with a connection on which something can be done. A client that
// breaks the rules is left alone.
func (u *upstream) serve(c *client) {
	if len(c.rest) > 0 {
		u.write(c, c.rest)
		return
	}
	n, err := epoll.Read(c.fd, c.in[len(c.in):cap(c.in)])
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil || n == 0:
		u.drop(c)
		return
	}
	c.in = c.in[:len(c.in)+n]
	if c.skip > 0 {
		took := min(c.skip, len(c.in))
		c.skip -= took
		c.in = c.in[:copy(c.in, c.in[took:])]
		if c.skip == 0 {
			u.write(c, c.next)
		}
		return
	}
	u.answer(c)
}

// answer answers a request whose header section is complete, once its body has come.
func (u *upstream) answer(c *client) {
	end := bytes.Index(c.in, []byte("\r\n\r\n"))
	if end < 0 {
		if len(c.in) == cap(c.in) {
			u.drop(c)
		}
		return
	}
	answer := u.small
	if line, _, ok := bytes.Cut(c.in, []byte(" HTTP/")); ok {
		if a, ok := u.answers[string(line[bytes.LastIndexByte(line, '/')+1:])]; ok {
			answer = a
		}
	}
	total := end + 4 + contentLength(c.in[:end+2])
	if total > len(c.in) {
		c.skip, c.in, c.next = total-len(c.in), c.in[:0], answer
		return
	}
	c.in = c.in[:copy(c.in, c.in[total:])]
	u.write(c, answer)
}

// contentLength is that of a header section, 0 without one.
func contentLength(head []byte) int {
	const name = "\ncontent-length:"
	for at := 0; ; at++ {
		next := bytes.IndexByte(head[at:], '\n')
		if next < 0 || at+next+len(name) > len(head) {
			return 0
		}
		at += next
		if !bytes.EqualFold(head[at:at+len(name)], []byte(name)) {
			continue
		}
		length := 0
		for _, digit := range head[at+len(name):] {
			switch {
			case '0' <= digit && digit <= '9':
				length = length*10 + int(digit-'0')
			case digit == '\r' || digit == '\n':
				return length
			}
		}
		return length
	}
}

// write sends an answer, or what the socket takes of it now.
func (u *upstream) write(c *client, answer []byte) {
	n, err := epoll.Write(c.fd, answer)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		u.drop(c)
		return
	}
	before := len(c.rest) > 0
	c.rest = answer[n:]
	var watch uint32
	switch waits := len(c.rest) > 0; {
	case waits && !before:
		watch = unix.EPOLLOUT
	case !waits && before:
		watch = unix.EPOLLIN
	default:
		return
	}
	if err := u.poller.Watch(c.fd, watch); err != nil {
		u.drop(c)
	}
}

func (u *upstream) drop(c *client) {
	_ = unix.Close(c.fd) // nothing can be done about it
	delete(u.clients, int32(c.fd))
}
