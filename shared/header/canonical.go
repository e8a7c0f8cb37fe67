package header

// Canonical returns a header field's name in canonical form: the first
// letter and each letter after a '-' in upper case, the others in lower case.
// A name that has this form already is returned as it is.
func Canonical(name string) string {
	upper := true
	for i := range len(name) {
		if c := name[i]; c != canonicalByte(c, upper) {
			return rewriteName(name)
		}
		upper = name[i] == '-'
	}
	return name
}

func rewriteName(name string) string {
	b := []byte(name)
	upper := true
	for i, c := range b {
		b[i] = canonicalByte(c, upper)
		upper = c == '-'
	}
	return string(b)
}

func canonicalByte(c byte, upper bool) byte {
	c = lower(c)
	if upper && 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
