// Package freeport gives out loopback ports for the servers of tests and load
// tests, which must be known before the servers start and be the same when they
// start again. Nothing that users run imports it.
//
// A port is reserved by holding the UDP socket of the same number: every process on
// the machine that asks this package sees the reservation, whatever user or
// directory it belongs to, the servers listen on TCP alone and do not collide with it, and
// the system ends it when the holder's process ends. All ports are below those that
// systems give to outgoing connections, so none of the many connections of a test
// takes the port of a server that is stopped for a while.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from lowest up to, and not including, highest. Linux gives ports
// from 32768 to outgoing connections, other systems from 49152.
const lowest, highest = 10_000, 30_000

// Reservation is a number of ports that are held until Release.
type Reservation struct {
	// Addresses are 127.0.0.1 with a port each.
	Addresses []string
	held      []net.PacketConn
}

// Reserve reserves n ports on which no program listens. It fails when there are not so
// many, or when ctx ends.
func Reserve(ctx context.Context, n int) (*Reservation, error) {
	r := &Reservation{}
	first := rand.IntN(highest - lowest) //nolint:gosec // any port will do
	for i := 0; i < highest-lowest && len(r.Addresses) < n; i++ {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+(first+i)%(highest-lowest))
		if held := hold(ctx, address); held != nil {
			r.Addresses, r.held = append(r.Addresses, address), append(r.held, held)
		}
		if err := ctx.Err(); err != nil {
			r.Release()
			return nil, err
		}
	}
	if len(r.Addresses) < n {
		r.Release()
		return nil, errors.New("reserve ports: nearly all from 10000 to 29999 are in use")
	}
	return r, nil
}

// hold reserves one port; nil: it is reserved or in use.
func hold(ctx context.Context, address string) net.PacketConn {
	var config net.ListenConfig
	held, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil
	}
	// Only now: two processes that try the same port at once do not both get here.
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		_ = held.Close()
		return nil
	}
	_ = listener.Close()
	return held
}

// Release gives the ports back. What listens on one of them may go on.
func (r *Reservation) Release() {
	for _, held := range r.held {
		_ = held.Close()
	}
	r.held = nil
}
