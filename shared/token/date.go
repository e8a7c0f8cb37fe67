package token

import (
	"strings"
)

// lastDate is 9999-12-31T23:59:59Z.
const lastDate = 253402300799

// date reads exp, nbf or iat, which is a NumericDate: any JSON number (RFC 7519
// section 2), with a fraction and an exponent if its writer likes. It is false for
// what is no number, is before 1970 or after 9999.
//
// Clocks here count whole seconds and lag behind by less than one. So nbf is rounded up:
// a token is never good before it. exp is rounded down: it is never good after it.
// iat is rounded down, too: what is revoked by its age must not look younger, and a
// token that was made within this second is not from the future.
func date(name, value string) (int64, bool) {
	seconds, more, ok := numericDate(value)
	if more && name == "nbf" {
		seconds++
	}
	return seconds, ok && seconds <= lastDate
}

// isDate reports whether a claim of this name is a NumericDate that decides about a token.
func isDate(name string) bool { return name == "exp" || name == "nbf" || name == "iat" }

// numericDate reads the whole seconds of a JSON number and whether there is more than
// these. It is exact, since it reads digits: a float64 has not enough of them.
func numericDate(value string) (seconds int64, more, ok bool) {
	if value[0] != '-' && !isDigit(value[0]) {
		return 0, false, false
	}
	mantissa, power := value, 0
	if e := strings.IndexAny(value, "eE"); e >= 0 {
		mantissa, power = value[:e], exponent(value[e+1:])
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	n := decimal{left: len(whole) + power}
	for i := range len(whole) {
		n.add(whole[i])
	}
	for i := range len(fraction) {
		n.add(fraction[i])
	}
	for n.left > 0 && n.seconds > 0 && n.seconds <= lastDate {
		n.add('0')
	}
	minus := negative && (n.seconds > 0 || n.more) // -0 is 0
	return n.seconds, n.more, !minus && n.seconds <= lastDate
}

// decimal is a number that is read digit by digit.
type decimal struct {
	left    int   // how many more digits stand before the point
	seconds int64 // what these come to; beyond lastDate it does not matter how far
	more    bool  // there is something else than zeros behind the point
}

func (d *decimal) add(digit byte) {
	if d.left <= 0 {
		d.more = d.more || digit != '0'
		return
	}
	d.left--
	d.seconds = min(d.seconds*10+int64(digit-'0'), lastDate+1)
}

// exponent reads an exponent, and of a large one only that it is large: no number in
// a token has so many digits that it would not be 0, or out of range, in the end.
func exponent(text string) int {
	const large = 1 << 20
	digits := strings.TrimLeft(text, "+-")
	n := 0
	for i := 0; i < len(digits) && n < large; i++ {
		n = n*10 + int(digits[i]-'0')
	}
	if text[0] == '-' {
		return -n
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
