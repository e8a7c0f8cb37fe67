// Package mask hides credentials in what is shown, printed and logged.
package mask

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// Secret stands for a secret's value.
const Secret = "********"

// URL hides the credentials in a URL, or in several with commas between them,
// whether they can be read as URLs or not: what stands before an @ (of user:password
// the user is left), and the values of parameters of the query and the fragment
// whose names speak of a secret, such as access_token, api_key or password. In doubt
// more is hidden. Other text is returned as it is.
func URL(text string) string {
	if !strings.ContainsAny(text, "@=") {
		return text
	}
	if tidy(text) {
		elements := strings.Split(text, ",")
		for i, element := range elements {
			elements[i] = parameters(userinfo(element))
		}
		return strings.Join(elements, ",")
	}
	// A password may have any of the characters at which URLs are taken apart. So a
	// part reaches from the beginning of a URL to the beginning of the next.
	var b strings.Builder
	for _, part := range parts(text) {
		b.WriteString(parameters(userinfo(part)))
	}
	return b.String()
}

// Error hides the credentials in the URL that an error of net/http or net/url names.
func Error(err error) error {
	if of, ok := errors.AsType[*url.Error](err); ok {
		of.URL = URL(of.URL)
	}
	return err
}

// tidy reports whether text is a list of URLs of which each can be read in one way only.
func tidy(text string) bool {
	for element := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(element)
		if err != nil || u.Host == "" || strings.Contains(u.Host, "@") || u.User == nil && strings.Contains(element, "@") {
			return false
		}
		if user := u.User.String(); user != "" && strings.Contains(strings.SplitN(element, "@", 2)[1], "@") && !strings.Contains(user, "%40") {
			return false
		}
	}
	return true
}

var beginning = regexp.MustCompile(`[\s,][a-zA-Z][a-zA-Z0-9+.-]*://`)

// parts cuts text before each separator that a scheme follows.
func parts(text string) []string {
	var parts []string
	last := 0
	for _, at := range beginning.FindAllStringIndex(text, -1) {
		if at[0] > last {
			parts = append(parts, text[last:at[0]])
			last = at[0]
		}
	}
	return append(parts, text[last:])
}

// userinfo hides what stands before the last @ of a URL; without a scheme, of what
// does not begin as a path.
func userinfo(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	from := 0
	if scheme := strings.Index(text[:at], "://"); scheme >= 0 {
		from = scheme + len("://")
	} else if relative := strings.TrimLeft(text, "/"); len(text)-len(relative) == len("//") {
		from = len("//")
	} else if strings.ContainsAny(text[:1], `/.\`) {
		return text
	}
	user, _, ok := strings.Cut(text[from:at], ":")
	if !ok || user == "" || strings.ContainsAny(user, "/?#@, ") {
		return text[:from] + Secret + text[at:]
	}
	return text[:from] + user + ":" + Secret + text[at:]
}

// speaking are parts of names by which parameters of secrets are called.
const speaking = "token secret passw pwd key sig credential auth jwt session assertion code"

var parameter = regexp.MustCompile(`([?&;#])([^?&;#=\s]+)=([^&;#\s]*)`)

func parameters(text string) string {
	return parameter.ReplaceAllStringFunc(text, func(found string) string {
		name, value, _ := strings.Cut(found, "=")
		if value == "" || !speaks(name[1:]) {
			return found
		}
		return name + "=" + Secret
	})
}

func speaks(name string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	name = strings.ToLower(name)
	for word := range strings.FieldsSeq(speaking) {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
