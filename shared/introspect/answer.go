package introspect

import (
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Answer is what a server says of an active token.
type Answer struct {
	// Claims are the answer's members.
	Claims *token.Claims
	// Registered are exp, nbf, iat, iss, aud, sub and jti, their types checked.
	Registered token.Registered
}

// readAnswer reads an answer of status 200. The error is ErrInactive or an *Error.
func readAnswer(body []byte) (*Answer, error) {
	claims, err := token.ParseObject(body)
	if err != nil {
		return nil, ofToken(Invalid, "the introspection server's answer is no JSON object that can be trusted: "+err.Error())
	}
	switch active, _ := claims.Raw("active"); active {
	case "true":
	case "false":
		return nil, ErrInactive
	default:
		return nil, ofToken(Invalid, "the introspection server's answer does not have active as true or false")
	}
	registered, err := claims.Registered()
	if err != nil {
		return nil, ofToken(Invalid, "the introspection server's answer: "+err.Error())
	}
	for _, name := range []string{"username", "scope", "token_type"} {
		if _, ok := claims.Text(name); !ok && claims.Has(name) && !(name == "scope" && isListOfText(claims)) {
			return nil, ofToken(Invalid, "the introspection server's answer has a "+name+" that is not a string")
		}
	}
	return &Answer{Claims: claims, Registered: registered}, nil
}

// isListOfText reports whether scope is a list, as some servers write it.
func isListOfText(claims *token.Claims) bool {
	_, ok := claims.Strings("scope")
	return ok
}
