package authn

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// Claimed returns the issuer that a token says has made it: the issuer in force
// whose name is the iss of what looks like a JWT, which may be malformed
// otherwise, and is not verified. Nil: the token is opaque, or from elsewhere.
//
// It reads laxly on purpose. It serves to keep a token from being shown to
// somebody else, and from being taken for an opaque one after its checks have failed.
func (r *Keyring) Claimed(compact []byte) *Issuer {
	header, rest, ok := bytes.Cut(compact, []byte{'.'})
	if !ok {
		return nil
	}
	payload, _, ok := bytes.Cut(rest, []byte{'.'})
	if !ok || laxObject(header) == nil {
		return nil
	}
	var iss string
	if json.Unmarshal(laxObject(payload)["iss"], &iss) != nil {
		return nil
	}
	return r.byName[iss]
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
