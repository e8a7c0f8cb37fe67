package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Server is an HTTP stack's own server.
type Server interface {
	// Serve serves ln until it is closed. After a Shutdown it returns nil.
	Serve(ln net.Listener) error
	// Shutdown closes the listener and idle connections, and waits until the others
	// are closed, or ctx ends.
	Shutdown(ctx context.Context) error
}

// Hurry leaves out what is left of DrainDelay: the node has failed, and there is nothing
// to serve with. It may be called once.
func (c *Core) Hurry() { close(c.hurried) }

// Run serves ln until ctx ends, and then drains: readiness goes first, answers
// close their connections, after DrainDelay the listener closes, and requests
// in flight have DrainTimeout to end. It closes ln, and returns nil after a
// drain in which all requests ended.
func (c *Core) Run(ctx context.Context, ln net.Listener, server Server) error {
	if c.Config.TLS != nil {
		var watching sync.WaitGroup
		defer watching.Wait()
		watch, stop := context.WithCancel(ctx)
		defer stop()
		watching.Go(func() { c.Config.TLS.Watch(watch) })
	}
	var telling sync.WaitGroup
	defer telling.Wait()
	tell, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	telling.Go(func() { c.tellLeftOut(tell) })
	ln = c.Listen(ln)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", ln.Addr(), errors.Join(err, ln.Close()))
	case <-ctx.Done():
	}
	c.draining.Store(true)
	c.Config.Draining()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s while draining: %w", ln.Addr(), errors.Join(err, ln.Close()))
	case <-time.After(c.Config.DrainDelay):
	case <-c.hurried:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Config.DrainTimeout)
	defer cancel()
	err := server.Shutdown(grace)
	_ = ln.Close() // which Shutdown does not know yet if it came before Serve
	if err := errors.Join(err, <-served); err != nil {
		return fmt.Errorf("drain %s: %w", ln.Addr(), err)
	}
	return nil
}
