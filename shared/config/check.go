package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

// check reports what is wrong with a value that could be parsed. Files and
// directories are looked for only where files is true: a program that starts finds
// out by opening them.
func (s *setting) check(files bool, faults *fault.List) {
	if s.faulty {
		return
	}
	message, hint := s.judge(files)
	if message == "" {
		return
	}
	s.faulty = true
	*faults = append(*faults, s.source.fault(s.name, message, hint))
}

// judge returns what is wrong with the value, and the cure.
func (s *setting) judge(files bool) (message, hint string) {
	switch s.kind() {
	case "duration", "number", "size":
		return s.bounds()
	case "string", "list":
	default:
		return "", ""
	}
	shown := s.masked()
	for i, text := range s.elements() {
		if message, hint = s.judgeText(text, files); message != "" {
			if !s.secret {
				message = strconv.Quote(shown[min(i, len(shown)-1)]) + ": " + message
			}
			return message, hint
		}
	}
	return "", ""
}

// elements are the texts of a list, or of a string that names several things.
func (s *setting) elements() []string {
	if s.isList() {
		texts := make([]string, s.field.Len())
		for i := range texts {
			texts[i] = s.field.Index(i).String()
		}
		return texts
	}
	text := s.field.String()
	switch {
	case text == "" && (len(s.enum) == 0 || s.optional):
		return nil
	case strings.HasPrefix(s.rule, "url"):
		return strings.Split(text, ",")
	}
	return []string{text}
}

// masked are the elements without the credentials of URLs. Where a password has a
// comma in it, they are one text, since none of them can be shown alone.
func (s *setting) masked() []string {
	elements := s.elements()
	if s.whole || len(elements) == 0 {
		for i := range elements {
			elements[i] = mask.URL(elements[i])
		}
		return elements
	}
	together := mask.URL(strings.Join(elements, ","))
	apart := strings.Split(together, ",")
	if len(apart) != len(elements) {
		return []string{together}
	}
	return apart
}

func (s *setting) judgeText(text string, files bool) (message, hint string) {
	if len(s.enum) > 0 {
		if slices.Contains(s.enum, text) {
			return "", ""
		}
		return "not one of " + strings.Join(s.enum, ", "), fault.DidYouMean(text, s.enum)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "control characters are not allowed", ""
	}
	rule, more, _ := strings.Cut(s.rule, " ")
	switch rule {
	case "listen":
		return judgeListen(text)
	case "url":
		return judgeURL(text, strings.Fields(more))
	case "id":
		return judgeID(text)
	case "token":
		return judgeToken(text)
	case "file":
		if files {
			return judgeFile(text)
		}
	case "dir":
		if files {
			return judgeDir(text)
		}
	}
	return "", ""
}

// bounds compares a number, a duration or a size with the tags min and max.
func (s *setting) bounds() (message, hint string) {
	least, most := s.bound(s.least), s.bound(s.most)
	if (least.IsValid() && compare(s.field, least) < 0) || (most.IsValid() && compare(s.field, most) > 0) {
		switch {
		case s.least == "":
			return s.show() + ": out of range", "at most " + s.most
		case s.most == "":
			return s.show() + ": out of range", "at least " + s.least
		}
		return s.show() + ": out of range", s.least + " to " + s.most
	}
	return "", ""
}

// bound parses a bound into a value of the setting's type; invalid: there is none.
func (s *setting) bound(text string) reflect.Value {
	if text == "" {
		return reflect.Value{}
	}
	b := &setting{field: reflect.New(s.field.Type()).Elem(), texts: []string{text}}
	if err := b.parse(); err != nil {
		panic(fmt.Sprintf("BUG: setting %s has the bound %q: %v", s.name, text, err))
	}
	return b.field
}

func compare(a, b reflect.Value) int {
	if a.CanInt() {
		return cmp.Compare(a.Int(), b.Int())
	}
	return cmp.Compare(a.Uint(), b.Uint())
}

const listenHint = "write host:port: 127.0.0.1:8080, or :8080 for every address of this machine"

func judgeListen(text string) (message, hint string) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "not an address to listen at", listenHint
	}
	if message := judgePort(port); message != "" {
		return message, listenHint
	}
	if message := judgeHost(host); host != "" && message != "" {
		return message, listenHint
	}
	return "", ""
}

// judgePort allows 0, for which the system takes a free one.
func judgePort(port string) string {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "the port is not a number from 0 to 65535"
	}
	return ""
}

var hostName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.?)+$`)

func judgeHost(host string) string {
	address, _, _ := strings.Cut(host, "%") // an IPv6 zone
	if net.ParseIP(address) == nil && (!hostName.MatchString(host) || looksLikeIP(host)) {
		return "the host is neither a name nor an IP address"
	}
	return ""
}

// looksLikeIP reports whether a host has nothing but digits and dots, as no name has.
func looksLikeIP(host string) bool { return strings.Trim(host, "0123456789.") == "" }

// judgeURL checks a URL of one of the schemes. With the scheme nats, host:port
// alone is one too.
func judgeURL(text string, schemes []string) (message, hint string) {
	text = strings.TrimSpace(text)
	hint = "write " + schemes[0] + "://host:port"
	if !strings.Contains(text, "://") && slices.Contains(schemes, "nats") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "not a URL", hint // the error would quote a password
	case !slices.Contains(schemes, u.Scheme):
		return "the scheme is not one of " + strings.Join(schemes, ", "), hint
	case u.Hostname() == "":
		return "the URL has no host", hint
	case u.Port() != "" && judgePort(u.Port()) != "":
		return judgePort(u.Port()), hint
	case judgeHost(u.Hostname()) != "":
		return judgeHost(u.Hostname()), hint
	case u.RawQuery != "" || u.Fragment != "":
		return "a base URL has neither ? nor #", hint
	}
	return "", ""
}

const mostID = 128

func judgeID(text string) (message, hint string) {
	if len(text) > mostID || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '/' || r > unicode.MaxASCII }) {
		return "not an id", "1 to 128 ASCII characters without spaces and slashes"
	}
	return "", ""
}

func judgeToken(text string) (message, hint string) {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII }) {
		return "not a token", "ASCII characters without spaces"
	}
	return "", ""
}

func judgeFile(text string) (message, hint string) {
	info, err := os.Stat(text)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file", ""
	case err != nil:
		return "look at the file: " + errors.Unwrap(err).Error(), ""
	case info.IsDir():
		return "this is a directory, not a file", ""
	}
	f, err := os.Open(text)
	if err != nil {
		return "open the file: " + errors.Unwrap(err).Error(), ""
	}
	_ = f.Close() // nothing was written
	return "", ""
}

// judgeDir allows a directory that is not there: it is made at the start.
func judgeDir(text string) (message, hint string) {
	info, err := os.Stat(text)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", ""
	case err != nil:
		return "look at the directory: " + errors.Unwrap(err).Error(), ""
	case !info.IsDir():
		return "this is a file, not a directory", ""
	}
	return "", ""
}

// SameAddress reports whether two processes or listeners could not listen at both
// addresses at once: the same port, on the same host or on all.
func SameAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || everywhere(hostA) || everywhere(hostB)
}

func everywhere(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// Conflicts reports pairs of listeners that cannot listen at once. listeners are
// names of settings and their addresses, by turns.
func Conflicts(listeners ...string) fault.List {
	var ps fault.List
	for i := 0; i+1 < len(listeners); i += 2 {
		for j := 0; j < i; j += 2 {
			if SameAddress(listeners[i+1], listeners[j+1]) {
				ps = append(ps, fault.Fault{
					Field: listeners[i], Message: fmt.Sprintf("%s is the address of %s, too", listeners[i+1], listeners[j]),
					Hint: "give each its own port",
				})
			}
		}
	}
	return ps
}
