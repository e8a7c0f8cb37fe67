package pipeline

import (
	"strings"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// render makes the header fields of a token's claims. Claims that are absent or
// null give none.
func render(headers []compile.ClaimHeader, claims *token.Claims) []exchange.HeaderValue {
	var fields []exchange.HeaderValue
	for _, h := range headers {
		if value, ok := claims.Get(h.Claim); ok {
			fields = append(fields, exchange.HeaderValue{Name: h.Header, Value: renderClaim(claims, h.Claim, value)})
		}
	}
	return fields
}

// renderClaim renders text as it is, lists with commas between their elements,
// and all else as the JSON that stands in the token. Where a text has
// anything but visible ASCII and inner blanks, or is an element with a comma,
// that and '%' are percent-encoded.
func renderClaim(claims *token.Claims, path string, value any) string {
	switch value := value.(type) {
	case string:
		return escape(value, false)
	case []any:
		if elements, ok := textElements(value); ok {
			return strings.Join(elements, ",")
		}
	}
	raw, _ := claims.Raw(path)
	return escape(raw, false)
}

// textElements renders the elements of a list of strings.
func textElements(list []any) ([]string, bool) {
	elements := make([]string, len(list))
	for i, e := range list {
		text, ok := e.(string)
		if !ok {
			return nil, false
		}
		elements[i] = escape(text, true)
	}
	return elements, true
}

func escape(text string, element bool) string {
	if isPlain(text, element) {
		return text
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		edge := c == ' ' && (i == 0 || i == len(text)-1)
		if c < ' ' || c > '~' || c == '%' || edge || element && c == ',' {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			c = digits[c&15]
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isPlain(text string, element bool) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || element && c == ',' {
			return false
		}
	}
	return text == "" || text[0] != ' ' && text[len(text)-1] != ' '
}
