package token

import "strings"

// Absent is the value of a date that a token does not have.
const Absent = -1

// lastDate is 9999-12-31T23:59:59Z.
const lastDate = 253402300799

// Registered are the claims that RFC 7519 section 4.1 defines, their types checked.
type Registered struct {
	Issuer, Subject, ID string
	// Audience is nil if there is no aud, and empty if aud is an empty list.
	Audience []string
	// ExpiresAt, NotBefore and IssuedAt are seconds since 1970, or Absent.
	ExpiresAt, NotBefore, IssuedAt int64
}

// Registered reads the registered claims. The error is one of ErrIssuer,
// ErrSubject, ErrTokenID, ErrAudience and ErrDate.
func (c *Claims) Registered() (Registered, error) {
	r := Registered{ExpiresAt: Absent, NotBefore: Absent, IssuedAt: Absent}
	for i := range c.members {
		if err := r.set(c.members[i].name, c.members[i].value); err != nil {
			return Registered{}, err
		}
	}
	return r, nil
}

func (r *Registered) set(name, value string) error {
	switch name {
	case "iss":
		return setText(&r.Issuer, value, ErrIssuer)
	case "sub":
		return setText(&r.Subject, value, ErrSubject)
	case "jti":
		return setText(&r.ID, value, ErrTokenID)
	case "exp":
		return setDate(&r.ExpiresAt, value)
	case "nbf":
		return setDate(&r.NotBefore, value)
	case "iat":
		return setDate(&r.IssuedAt, value)
	case "aud":
		if one, ok := text(value); ok {
			r.Audience = []string{one}
			return nil
		}
		// An empty list is meant for nobody: no audience that is asked for is in it.
		// Providers write it where they could leave aud out.
		all, ok := list(value)
		if !ok {
			return ErrAudience
		}
		r.Audience = all
	}
	return nil
}

func setText(to *string, value string, wrong Error) error {
	s, ok := text(value)
	if !ok {
		return wrong
	}
	*to = s
	return nil
}

func setDate(to *int64, value string) error {
	n, ok := date(value)
	if !ok {
		return ErrDate
	}
	*to = n
	return nil
}

// date reads the whole seconds of a NumericDate. A sign and an exponent are
// refused: no issuer writes dates with them.
func date(value string) (int64, bool) {
	whole, fraction, _ := strings.Cut(value, ".")
	if len(whole) == 0 || len(whole) > 12 || strings.ContainsAny(fraction, "eE") {
		return 0, false
	}
	var n int64
	for i := range len(whole) {
		if whole[i] < '0' || whole[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(whole[i]-'0')
	}
	return n, n <= lastDate
}
