package front

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// maxThrottled bounds the kinds of line that are counted apart within a second.
// Those beyond share one count for each cause.
const maxThrottled = 4096

// throttle bounds how many lines of one kind are logged before the next call of
// take, which comes every second. It is safe for concurrent use.
type throttle struct {
	each int // lines of a kind; 0: no bound

	mu   sync.Mutex
	seen map[lineKind]int
}

// lineKind is what refusals have in common that say the same to an operator.
type lineKind struct {
	api   string // its id; empty: there is none
	cause cause.Cause
}

func newThrottle(each int) *throttle { return &throttle{each: each, seen: map[lineKind]int{}} }

// admit reports whether one more line of a kind may be logged.
func (t *throttle) admit(kind lineKind) bool {
	if t.each == 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.seen[kind]; !known && len(t.seen) >= maxThrottled {
		kind.api = otherApis
	}
	t.seen[kind]++
	return t.seen[kind] <= t.each
}

// take begins the next second, and returns how many lines of which kind were left out.
func (t *throttle) take() map[lineKind]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.seen
	t.seen = make(map[lineKind]int, len(seen))
	for kind, n := range seen {
		if seen[kind] = n - t.each; n <= t.each {
			delete(seen, kind)
		}
	}
	return seen
}

// tellLeftOut logs every second until ctx ends, and then once more, which refusals
// were not logged.
func (c *Core) tellLeftOut(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-second.C:
		}
		for kind, n := range c.throttle.take() {
			c.Config.Logger.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "requests refused and not logged",
				slog.String("api", kind.api), slog.String("cause", kind.cause.String()), slog.Int("count", n))
		}
	}
}
