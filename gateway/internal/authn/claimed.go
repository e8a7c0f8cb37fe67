package authn

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Claimed returns the issuer of ring that a token says has made it: the issuer in force
// whose name is the iss of what looks like a JWT, which may be malformed
// otherwise, and is not verified. Nil: the token is opaque, or from elsewhere.
//
// It reads laxly on purpose. It serves to keep a token from being shown to
// somebody else, and from being taken for an opaque one after its checks have failed.
//
// A token without iss has been made by the issuer whose key verifies it at now.
func (a *Authenticator) Claimed(ring *Keyring, compact []byte, now int64) *Issuer {
	header, rest, ok := bytes.Cut(compact, []byte{'.'})
	if !ok {
		return nil
	}
	payload, _, ok := bytes.Cut(rest, []byte{'.'})
	if !ok || laxObject(header) == nil {
		return nil
	}
	var iss *string
	claims := laxObject(payload)
	if claims == nil || claims["iss"] != nil && json.Unmarshal(claims["iss"], &iss) != nil {
		return nil
	}
	if iss == nil {
		return a.maker(ring, compact, now)
	}
	issuer, _ := ring.Issuer(*iss)
	return issuer
}

// maker returns the issuer without iss that has signed a token; nil: none has.
func (a *Authenticator) maker(ring *Keyring, compact []byte, now int64) *Issuer {
	if len(ring.unnamed) == 0 {
		return nil
	}
	unverified, err := token.ParseLimit(compact, a.cfg.MaxTokenBytes)
	if err != nil {
		return nil
	}
	for _, issuer := range ring.unnamed {
		if _, err := a.signedBy(unverified, issuer.Keys(), now); err == nil {
			return issuer
		}
	}
	return nil
}

// laxObject decodes a part of a JWT; nil: it is no JSON object.
func laxObject(part []byte) map[string]json.RawMessage {
	data, err := base64.RawURLEncoding.DecodeString(string(bytes.TrimRight(part, "=")))
	if err != nil {
		return nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return nil
	}
	return object
}
