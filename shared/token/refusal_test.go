package token_test

import (
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

// explain fails unless the reason of a refusal is found by other means, too: in
// what encoding/json and golang-jwt read, not in what Parse does.
func explain(t *testing.T, refusal error, compact string) {
	t.Helper()
	parts := strings.Split(compact, ".")
	var holds bool
	switch refusal {
	case token.ErrSize:
		holds = len(compact) > token.DefaultSize
	case token.ErrEncrypted:
		holds = len(parts) == 5
	case token.ErrParts:
		holds = len(parts) != 3 && len(parts) != 5
	case token.ErrSignatureLen:
		holds = len(parts) == 3 && parts[2] == ""
	case token.ErrBase64:
		holds = slices.ContainsFunc(parts, func(part string) bool {
			_, err := jwt.NewParser(jwt.WithStrictDecoding()).DecodeSegment(part)
			return err != nil || strings.ContainsAny(part, "\r\n")
		})
	default:
		header, payload := segment(t, parts[0]), segment(t, parts[1])
		holds = isHeaderRefusal(refusal, header) || isClaimsRefusal(refusal, payload) ||
			isTextRefusal(refusal, header) || isTextRefusal(refusal, payload)
	}
	if !holds {
		t.Fatalf("refused because %q, for which there is no sign in %q", refusal, compact)
	}
}

func segment(t *testing.T, part string) string {
	t.Helper()
	b, err := jwt.NewParser(jwt.WithStrictDecoding()).DecodeSegment(part)
	if err != nil {
		t.Fatalf("%q is not base64url: %v", part, err)
	}
	return string(b)
}

// isTextRefusal reports whether the reason lies in the JSON itself.
func isTextRefusal(refusal error, text string) bool {
	var object map[string]json.RawMessage
	broken := json.Unmarshal([]byte(text), &object) != nil || object == nil
	w := walk(text)
	switch refusal {
	case token.ErrUTF8:
		return !utf8.ValidString(text)
	case token.ErrJSON:
		return broken
	case token.ErrText:
		return broken || regexp.MustCompile(`(?i)\\u(0000|d[89a-f])`).MatchString(text)
	case token.ErrDuplicate:
		return w.duplicate
	case token.ErrDepth:
		return w.depth > 16
	case token.ErrMembers:
		return w.members > 1000
	case token.ErrNumber:
		return w.number
	}
	return false
}

func isHeaderRefusal(refusal error, text string) bool {
	var header map[string]any
	if json.Unmarshal([]byte(text), &header) != nil {
		return false
	}
	has := func(name string) bool { _, ok := header[name]; return ok }
	switch refusal {
	case token.ErrAlgorithm:
		return !regexp.MustCompile(`^((RS|PS|ES|HS)(256|384|512)|ES256K|EdDSA|Ed25519|Ed448)$`).MatchString(textOf(header["alg"]))
	case token.ErrCritical:
		return has("crit")
	case token.ErrB64:
		return has("b64")
	case token.ErrZip:
		return has("zip")
	case token.ErrKeyID:
		return isNoText(header, "kid") || len(textOf(header["kid"])) > 256
	case token.ErrType:
		return isNoText(header, "typ")
	}
	return false
}

func isClaimsRefusal(refusal error, text string) bool {
	var claims map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&claims) != nil {
		return false
	}
	switch refusal {
	case token.ErrIssuer:
		return isNoText(claims, "iss")
	case token.ErrSubject:
		return isNoText(claims, "sub")
	case token.ErrTokenID:
		return isNoText(claims, "jti")
	case token.ErrAudience:
		list, ok := claims["aud"].([]any)
		return isNoText(claims, "aud") && (!ok ||
			slices.ContainsFunc(list, func(v any) bool { _, text := v.(string); return !text }))
	case token.ErrDate:
		return isNoDate(claims, "exp") || isNoDate(claims, "nbf") || isNoDate(claims, "iat")
	}
	return false
}

func textOf(v any) string { s, _ := v.(string); return s }

func isNoText(object map[string]any, name string) bool {
	v := object[name]
	_, text := v.(string)
	return v != nil && !text
}

func isNoDate(object map[string]any, name string) bool {
	v := object[name]
	n, number := v.(json.Number)
	if v == nil || !number {
		return v != nil
	}
	_, ok := oracleDate(n.String(), name == "nbf")
	return !ok
}

// walked is what a text has, up to its first syntax error.
type walked struct {
	duplicate, number bool
	depth, members    int
}

func walk(text string) (w walked) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	w.take(d)
	return w
}

// take reads one value.
func (w *walked) take(d *json.Decoder) {
	var open []map[string]bool // of a list nil
	name := false              // a member's name comes next
	for {
		v, err := d.Token()
		if err != nil {
			w.number = w.number || !errors.Is(err, io.EOF) && strings.Contains(err.Error(), "number")
			return
		}
		if v == json.Delim('}') || v == json.Delim(']') {
			open = open[:len(open)-1]
			name = len(open) > 0 && open[len(open)-1] != nil
			continue
		}
		if name {
			names := open[len(open)-1]
			w.duplicate = w.duplicate || names[textOf(v)]
			names[textOf(v)] = true
			w.members++
			name = false
			continue
		}
		if len(open) > 0 && open[len(open)-1] == nil {
			w.members++
		}
		switch v := v.(type) {
		case json.Delim:
			open = append(open, map[json.Delim]map[string]bool{'{': {}}[v])
			w.depth = max(w.depth, len(open))
		case json.Number:
			_, err := v.Float64()
			w.number = w.number || err != nil
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
}
