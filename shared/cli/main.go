package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Main is Run until a signal, and returns the exit status.
//
// SIGINT and SIGTERM end the verb in good order; a second one ends the process at
// once. SIGHUP does the same to a verb that serves somebody at a terminal. One that
// serves as a daemon takes no notice of it: what can be read again while it runs is
// read again when it changes.
func (a App) Main(p Process) int {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	switch verb, _, _ := a.choose(p); { // Run tells what is wrong with the command line
	case verb == nil || !verb.Serves:
	case verb.Attended:
		ends = append(ends, syscall.SIGHUP)
	default:
		signal.Ignore(syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	context.AfterFunc(ctx, stop)
	return a.Run(ctx, p)
}
