package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// ErrNotCompact: a token is not a JWT as it is sent.
var ErrNotCompact = errors.New("the token is not a JWT in compact form: three parts with dots between them")

// Revoke refuses a token before it expires. Only its SHA-256 leaves this process.
func (c *Client) Revoke(ctx context.Context, token, reason string, w Write) (Item[*pb.Revocation], error) {
	r, err := TokenRevocation(token)
	if err != nil {
		return Item[*pb.Revocation]{}, err
	}
	r.Reason = reason
	return c.Revocations().Create(ctx, r, w)
}

// TokenRevocation is the revocation of one token: by its SHA-256, until it has expired
// everywhere if its claims say when. The error is ErrNotCompact.
func TokenRevocation(token string) (*pb.Revocation, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, ErrNotCompact
	}
	sum := sha256.Sum256([]byte(token))
	return &pb.Revocation{
		Target:    &pb.Revocation_TokenSha256{TokenSha256: hex.EncodeToString(sum[:])},
		ExpiresAt: expiryOf(parts[1]),
	}, nil
}

// expiryOf is when a token with these claims has expired on every node; nil: unknown.
func expiryOf(payload string) *timestamppb.Timestamp {
	const (
		skew     = 10 * time.Minute // the greatest clock_skew of an Issuer
		farthest = 1 << 37          // seconds; RFC 3339 has years of four digits
	)
	var claims struct {
		Exp *float64 `json:"exp"`
	}
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Exp == nil || *claims.Exp >= farthest {
		return nil
	}
	return timestamppb.New(time.Unix(int64(max(*claims.Exp, 0)), 0).Add(skew))
}
