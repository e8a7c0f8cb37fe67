package resource

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Faults of the texts of durations, sizes and times. The decoder adds where and the cure.
var (
	errNotADuration = errors.New("not a duration")
	errNegative     = errors.New("must not be negative")
	errOutOfRange   = errors.New("out of range")
	errNotASize     = errors.New("not a size")
)

// parseDuration reads "500ms", "90s", "60m", "24h", "7d" and sums such as "1h30m".
func parseDuration(s string) (time.Duration, error) {
	if strings.HasPrefix(s, "-") {
		return 0, errNegative
	}
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		return parseClock(s)
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil {
		return 0, errNotADuration
	}
	const longest = uint64(math.MaxInt64 / int64(24*time.Hour))
	if n > longest {
		return 0, errOutOfRange
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	clock, err := parseClock(rest)
	if err != nil {
		return 0, err
	}
	if clock > math.MaxInt64-d {
		return 0, errOutOfRange
	}
	return d + clock, nil
}

func parseClock(s string) (time.Duration, error) {
	if strings.HasPrefix(s, "+") {
		return 0, errNotADuration
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errNotADuration
	}
	if d < 0 {
		return 0, errNegative
	}
	return d, nil
}

// appendDuration writes the largest unit that leaves no fraction: 1h, 90s, 500ms.
// What time.Duration cannot hold (292 years) is written in seconds.
func appendDuration(dst []byte, seconds int64, nanos int32) []byte {
	const most = math.MaxInt64/int64(time.Second) - 1
	if seconds > most || seconds < -most {
		dst = strconv.AppendInt(dst, seconds, 10)
		return append(dst, 's')
	}
	d := time.Duration(seconds)*time.Second + time.Duration(nanos)
	if d == 0 {
		return append(dst, "0s"...)
	}
	units := [...]struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}, {1, "ns"}}
	for _, u := range units {
		if d%u.size == 0 {
			dst = strconv.AppendInt(dst, int64(d/u.size), 10)
			return append(dst, u.name...)
		}
	}
	return dst
}

// sizeUnits are the units of sizes, the largest first. Only powers of 1024:
// "10MB" has two readings, and a limit must have one.
func sizeUnits() []struct {
	name string
	size uint64
} {
	return []struct {
		name string
		size uint64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
}

// parseSize reads "512", "64KiB", "10MiB", "1GiB".
func parseSize(s string) (uint64, error) {
	digits, factor := s, uint64(1)
	for _, u := range sizeUnits() {
		if head, ok := strings.CutSuffix(s, u.name); ok {
			digits, factor = strings.TrimSuffix(head, " "), u.size
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errOutOfRange
	}
	if err != nil {
		if strings.HasPrefix(s, "-") {
			return 0, errNegative
		}
		return 0, errNotASize
	}
	if n > math.MaxUint64/factor {
		return 0, errOutOfRange
	}
	return n * factor, nil
}

// appendSize writes the largest unit that leaves no fraction, as JSON: "10MiB", 512.
func appendSize(dst []byte, n uint64) []byte {
	for _, u := range sizeUnits() {
		if u.size > 1 && n >= u.size && n%u.size == 0 {
			dst = append(dst, '"')
			dst = strconv.AppendUint(dst, n/u.size, 10)
			dst = append(dst, u.name...)
			return append(dst, '"')
		}
	}
	return strconv.AppendUint(dst, n, 10)
}
