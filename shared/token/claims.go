package token

import (
	"slices"
	"strings"
	"sync"
)

// Claims are the payload of a token. They own their memory, never change, and
// are safe for concurrent use.
//
// A path names a claim, or with dots one inside an object: "org.name". A claim
// whose name has dots itself goes before an object's member of that path.
//
// A claim that is null is not there, and neither is such a member of an object:
// serialisers write null for what they have nothing to say about. In a list, null
// stays what it is.
type Claims struct {
	payload string
	members []member
	once    sync.Once
	decoded map[string]any
}

// newClaims makes claims of members, which it changes: those that are null go.
func newClaims(payload string, members []member) *Claims {
	return &Claims{payload: payload, members: slices.DeleteFunc(members, func(m member) bool { return m.value == null })}
}

// Has reports whether there is a claim at path.
func (c *Claims) Has(path string) bool { _, ok := c.Raw(path); return ok }

// Raw returns a claim as the JSON that stands in the token.
func (c *Claims) Raw(path string) (string, bool) {
	for i := range c.members {
		if c.members[i].name == path {
			return c.members[i].value, true
		}
	}
	if strings.IndexByte(path, '.') < 0 {
		return "", false
	}
	return descend(path, func(name string) (string, bool) {
		for i := range c.members {
			if c.members[i].name == name {
				return c.members[i].value, true
			}
		}
		return "", false
	})
}

// descend tries what comes before each dot as a member, the longest first.
func descend(path string, find func(name string) (string, bool)) (string, bool) {
	if value, ok := find(path); ok {
		return value, true
	}
	for dot := strings.LastIndexByte(path, '.'); dot >= 0; dot = strings.LastIndexByte(path[:dot], '.') {
		object, ok := find(path[:dot])
		if !ok || object[0] != '{' {
			continue
		}
		value, ok := descend(path[dot+1:], func(name string) (string, bool) { return memberOf(object, name) })
		if ok {
			return value, true
		}
	}
	return "", false
}

// memberOf finds a member of an object that is not null.
func memberOf(object, name string) (string, bool) {
	for m := range members(object) {
		if m.name == name {
			return m.value, m.value != null
		}
	}
	return "", false
}

// Get returns a claim as string, int64, uint64, float64, bool, []any or
// map[string]any. Whole numbers are exact up to 64 bits.
func (c *Claims) Get(path string) (any, bool) {
	value, ok := c.Raw(path)
	if !ok {
		return nil, false
	}
	return decode(value), true
}

// Text returns a claim that is a string. It does not allocate unless the string has escapes.
func (c *Claims) Text(path string) (string, bool) {
	value, ok := c.Raw(path)
	if !ok {
		return "", false
	}
	return text(value)
}

// Strings returns a claim that is a list of strings, or a string of words with
// spaces between them as `scope` is (RFC 8693 section 4.2). Anything else is false.
func (c *Claims) Strings(path string) ([]string, bool) {
	value, ok := c.Raw(path)
	if !ok {
		return nil, false
	}
	if words, ok := text(value); ok {
		return strings.FieldsFunc(words, func(r rune) bool { return r == ' ' }), true
	}
	return list(value)
}

// One returns a claim that is a string, or a list of exactly one string.
func (c *Claims) One(path string) (string, bool) {
	value, ok := c.Raw(path)
	if !ok {
		return "", false
	}
	if value[0] == '[' {
		if all, _ := list(value); len(all) == 1 {
			return all[0], true
		}
	}
	return text(value)
}

// list reads a list of strings and nothing else.
func list(value string) ([]string, bool) {
	if value[0] != '[' {
		return nil, false
	}
	all := []string{}
	for element := range elements(value) {
		s, ok := text(element)
		if !ok {
			return nil, false
		}
		all = append(all, s)
	}
	return all, true
}

// Map returns all claims decoded as Get does, but for exp, nbf and iat: these are the
// whole seconds that Registered has of them. The map is shared: do not change it.
func (c *Claims) Map() map[string]any {
	c.once.Do(func() {
		c.decoded = make(map[string]any, len(c.members))
		for _, m := range c.members {
			if seconds, ok := date(m.name, m.value); ok && isDate(m.name) {
				c.decoded[m.name] = seconds
				continue
			}
			c.decoded[m.name] = decode(m.value)
		}
	})
	return c.decoded
}

// JSON returns the payload as it stands in the token, before any mapping.
func (c *Claims) JSON() string { return c.payload }

// Size returns about how many bytes of memory the claims hold.
func (c *Claims) Size() int {
	const each, decoded = 32, 3
	return len(c.payload)*(1+decoded) + cap(c.members)*each
}

// Mapping renames a claim.
type Mapping struct {
	// Remote is the path of a claim in the token, Local the name it gets.
	Remote, Local string
}

// Rename returns claims in which each mapping's remote claim has its local name
// and no longer its own. It replaces a claim that has that name already. A claim
// inside an object is copied out of it. Mappings are carried out in order.
func (c *Claims) Rename(mappings []Mapping) *Claims {
	renamed := &Claims{payload: c.payload, members: slices.Clone(c.members)}
	for _, m := range mappings {
		value, ok := renamed.Raw(m.Remote)
		if !ok || m.Remote == m.Local {
			continue
		}
		renamed.members = slices.DeleteFunc(renamed.members, func(had member) bool {
			return had.name == m.Remote || had.name == m.Local
		})
		renamed.members = append(renamed.members, member{m.Local, value})
	}
	return renamed
}
