package edge

import (
	"sync/atomic"
	"time"
)

// wallClock tells the seconds since 1970 from a monotonic clock, which costs half of
// time.Now. It is set right every few milliseconds, so that it follows a clock that
// is changed. The zero value is ready for use, by several goroutines.
type wallClock struct {
	set   atomic.Int64 // when it was, by the monotonic clock
	ahead atomic.Int64 // nanoseconds that 1970 lies before the monotonic clock's zero
}

const clockInterval = int64(5 * time.Millisecond)

// unix returns the seconds since 1970 at now, which is of the monotonic clock.
func (c *wallClock) unix(now int64) int64 {
	set, ahead := c.set.Load(), c.ahead.Load() // in this order
	if set == 0 || now-set > clockInterval {
		ahead = time.Now().UnixNano() - now
		c.ahead.Store(ahead)
		c.set.Store(now)
	}
	return (now + ahead) / int64(time.Second)
}
