package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Why a token is not revoked.
var (
	// ErrNotToken: the text is not a token as clients send it.
	ErrNotToken = errors.New("this is no token as clients send it")
	// ErrExpired: the token's exp is past on every node.
	ErrExpired = errors.New("the token has expired by itself, so its revocation would end before it begins (hint: if an introspection server still takes it, say when the revocation ends)")
)

// Revoke refuses a token before it expires, see TokenRevocation. Only its SHA-256
// leaves this process.
func (c *Client) Revoke(ctx context.Context, text, reason string, w Write) (Item[*pb.Revocation], error) {
	r, err := TokenRevocation(text, time.Time{})
	if err != nil {
		return Item[*pb.Revocation]{}, err
	}
	r.Reason = reason
	return c.Revocations().Create(ctx, r, w)
}

// TokenRevocation is the revocation of one token by its SHA-256. The text is the token,
// or what follows `Authorization:`, the scheme Bearer or DPoP in front of it. It is a JWT
// that is whole, or an opaque token (b64token of RFC 6750), whose end nobody can see.
//
// until is when the revocation may end; zero: when a JWT has expired on every node, and
// for an opaque token or a JWT without exp, never. The error wraps ErrNotToken or
// ErrExpired, and has nothing of the text.
func TokenRevocation(text string, until time.Time) (*pb.Revocation, error) {
	compact, err := credential(text)
	if err != nil {
		return nil, err
	}
	expires, err := expiryOf(compact)
	switch {
	case err != nil:
		return nil, err
	case !until.IsZero():
		expires = timestamppb.New(until)
	case expires != nil && !expires.AsTime().After(time.Now()):
		return nil, ErrExpired
	}
	sum := sha256.Sum256([]byte(compact))
	return &pb.Revocation{
		Target:    &pb.Revocation_TokenSha256{TokenSha256: hex.EncodeToString(sum[:])},
		ExpiresAt: expires,
	}, nil
}

// credential is the token in a text that may have a scheme in front of it.
func credential(text string) (string, error) {
	words := strings.Fields(text)
	if len(words) > 0 && (strings.EqualFold(words[0], "Bearer") || strings.EqualFold(words[0], "DPoP")) {
		words = words[1:]
	}
	if len(words) != 1 || !token.IsB64Token([]byte(words[0])) {
		return "", fmt.Errorf("%w: give the token alone, or Bearer or DPoP and the token, without quotes, commas or anything else around it", ErrNotToken)
	}
	if len(words[0]) > token.MaxSize {
		return "", fmt.Errorf("%w: %w", ErrNotToken, token.ErrSize)
	}
	return words[0], nil
}

// expiryOf is when a token has expired on every node; nil: never, or nobody can see it.
func expiryOf(compact string) (*timestamppb.Timestamp, error) {
	const skew = 10 * time.Minute // the greatest clock_skew of an Issuer
	if !seemsJWT(compact) {
		return nil, nil //nolint:nilnil // an opaque token
	}
	u, err := token.ParseLimit([]byte(compact), token.MaxSize)
	if err == nil && !u.HasWholeSignature() {
		err = token.ErrSignatureLen
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it looks like a JWT, but %w (hint: was it cut off, or is something added? "+
			"A token that is meant to be so is revoked by a Revocation with its token_sha256)", ErrNotToken, err)
	}
	if u.Registered.ExpiresAt == token.Absent {
		return nil, nil //nolint:nilnil // it never expires
	}
	end := timestamppb.New(time.Unix(u.Registered.ExpiresAt, 0).Add(skew))
	if !end.IsValid() {
		return nil, nil //nolint:nilnil // beyond the year 9999
	}
	return end, nil
}

// seemsJWT reports whether a text is a JWT or a piece of one.
func seemsJWT(text string) bool {
	if strings.HasPrefix(text, "eyJ") { // {" in base64
		return true
	}
	for part := range strings.SplitSeq(text, ".") {
		var object map[string]json.RawMessage
		decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
		if err == nil && json.Unmarshal(decoded, &object) == nil && object != nil {
			return true
		}
	}
	return false
}
