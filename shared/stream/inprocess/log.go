package inprocess

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
)

// serverLog hands the server's messages to a slog.Logger. A fatal one, which
// would end the process of a separate server, is kept for Start to return.
type serverLog struct {
	logger *slog.Logger
	fatal  atomic.Pointer[string]
}

func (l *serverLog) log(level slog.Level, format string, args []any) {
	ctx := context.Background()
	if l.logger.Enabled(ctx, level) {
		l.logger.LogAttrs(ctx, level, "nats server", slog.String("says", fmt.Sprintf(format, args...)))
	}
}

// Noticef is for what an operator of a separate server would see; here it is detail.
func (l *serverLog) Noticef(format string, args ...any) { l.log(slog.LevelDebug, format, args) }

// Warnf logs a warning.
func (l *serverLog) Warnf(format string, args ...any) { l.log(slog.LevelWarn, format, args) }

// Errorf logs an error.
func (l *serverLog) Errorf(format string, args ...any) { l.log(slog.LevelError, format, args) }

// Debugf logs detail.
func (l *serverLog) Debugf(format string, args ...any) { l.log(slog.LevelDebug, format, args) }

// Tracef logs detail.
func (l *serverLog) Tracef(format string, args ...any) { l.log(slog.LevelDebug, format, args) }

// Fatalf keeps the message.
func (l *serverLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.fatal.CompareAndSwap(nil, &text)
	l.log(slog.LevelError, format, args)
}
