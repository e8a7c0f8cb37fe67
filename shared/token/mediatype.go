package token

import "strings"

// MediaType writes a media type as RFC 7515 section 4.1.9 compares it: in lower
// case, and without "application/" if there is no other slash.
func MediaType(typ string) string {
	typ = strings.ToLower(typ)
	if short, ok := strings.CutPrefix(typ, "application/"); ok && !strings.Contains(short, "/") {
		return short
	}
	return typ
}
