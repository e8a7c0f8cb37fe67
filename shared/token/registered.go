package token

// Absent is the value of a date that a token does not have.
const Absent = -1

// Registered are the claims that RFC 7519 section 4.1 defines, their types checked.
type Registered struct {
	Issuer, Subject, ID string
	// Audience is nil if there is no aud, and empty if aud is an empty list.
	Audience []string
	// ExpiresAt, NotBefore and IssuedAt are whole seconds since 1970, or Absent.
	// NotBefore is rounded up, the others down.
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
		return setDate(&r.ExpiresAt, name, value)
	case "nbf":
		return setDate(&r.NotBefore, name, value)
	case "iat":
		return setDate(&r.IssuedAt, name, value)
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

func setDate(to *int64, name, value string) error {
	n, ok := date(name, value)
	if !ok {
		return ErrDate
	}
	*to = n
	return nil
}
