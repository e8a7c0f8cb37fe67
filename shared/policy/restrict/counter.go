package restrict

// counter is what is known of one key: all kinds of limit that have this key.
// Times are nanoseconds since 1970. A clock that goes back lets nothing through
// that would not have passed before.
type counter struct {
	ends   int64 // from then on the counter says no more than a new one
	due    int64 // spike arrest: when the next request would come at the even pace
	opened int64 // quota: when its window opened
	used   uint64
	window *window // rate limit
}

// window counts in slices of time; slot n%16 holds slice n.
type window struct {
	slice  int64 // the length that the numbers of slices refer to
	last   int64 // the newest slice
	total  uint32
	counts [slots]uint32
}

// wait is 0 if the limit allows a request now, else in how many nanoseconds it might.
func (c *counter) wait(l *limit, now int64) int64 {
	switch l.kind {
	case spike:
		// A due time of a slower pace that the plan once had does not outlive it.
		c.due = min(c.due, now+l.burst+l.interval)
		return max(0, c.due-l.burst-now)
	case quota:
		if c.used < l.requests || now >= c.opened+l.period {
			return 0
		}
		return c.opened + l.period - now
	default:
		if c.window == nil {
			return 0
		}
		return c.window.wait(l, now)
	}
}

// count takes a request that wait has allowed.
func (c *counter) count(l *limit, now int64) {
	switch l.kind {
	case spike:
		c.due = max(c.due, now) + l.interval
		c.ends = max(c.ends, c.due)
	case quota:
		if c.used == 0 || now >= c.opened+l.period {
			c.opened, c.used = now, 0
		}
		c.used++
		c.ends = max(c.ends, c.opened+l.period)
	default:
		if c.window == nil {
			c.window = new(window)
		}
		c.window.move(l, now)
		c.window.counts[c.window.last%slots]++
		c.window.total++
		c.ends = max(c.ends, (c.window.last+slots)*l.interval)
	}
}

// move lets the window end with the slice of now, and forgets what is older.
func (w *window) move(l *limit, now int64) {
	if w.slice != l.interval {
		*w = window{slice: l.interval, last: now / l.interval}
		return
	}
	slice := now / l.interval
	if slice-w.last >= slots {
		w.counts, w.total, w.last = [slots]uint32{}, 0, slice
		return
	}
	for w.last < slice {
		w.last++
		w.total -= w.counts[w.last%slots]
		w.counts[w.last%slots] = 0
	}
}

func (w *window) wait(l *limit, now int64) int64 {
	w.move(l, now)
	if uint64(w.total) < l.requests {
		return 0
	}
	// Slices leave from the oldest on, until there is room for one request.
	left := uint64(w.total)
	for slice := w.last - slots + 1; slice <= w.last; slice++ {
		left -= uint64(w.counts[(slice+slots)%slots])
		if left < l.requests {
			return (slice+slots)*l.interval - now
		}
	}
	return (w.last+slots)*l.interval - now
}
