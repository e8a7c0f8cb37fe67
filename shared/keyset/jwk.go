package keyset

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a JWK set.
const (
	// MaxJWKSBytes is the longest accepted document.
	MaxJWKSBytes = 512 << 10
	// MaxJWKSKeys is the largest accepted number of keys, usable or not.
	MaxJWKSKeys = 1000
	// MaxKeyID is the longest accepted `kid`, in bytes.
	MaxKeyID = 256

	maxJWKSDepth = 16
)

// Options of ParseJWKS.
type Options struct {
	// Algorithms are those allowed; 0: all.
	Algorithms Algorithms
	// UsableUntil is the last second (Unix time) in which the keys may be used; 0: no bound.
	UsableUntil int64
	// Origin is put into the keys.
	Origin string
}

// ParseJWKS reads a JWK set (RFC 7517 section 5). Keys that cannot be used, whatever is
// wrong with them, are left out and named; the set may turn out empty. The error says
// that the document as a whole is not a JWK set, or too large.
func ParseJWKS(data []byte, opts Options) (*Set, []Skipped, error) {
	jwks, clean, err := readJWKS(data)
	if err != nil {
		return nil, nil, fmt.Errorf("read JWK set: %w", err)
	}
	if opts.Algorithms == 0 {
		opts.Algorithms = everyAlgorithm
	}
	var keys []*Key
	var skipped []Skipped
	for i, raw := range jwks {
		jwk, err := readJWK(raw)
		if !clean {
			err = cmp.Or(checkText(raw), err)
		}
		var key *Key
		if err == nil {
			key, err = jwk.key(opts.Algorithms)
		}
		if err != nil {
			skipped = append(skipped, Skipped{Index: i, KeyID: shorten(jwk.text["kid"]), Reason: err.Error()})
			continue
		}
		key.notAfter = opts.UsableUntil
		key.Origin = opts.Origin
		keys = append(keys, key)
	}
	return NewSet(keys), skipped, nil
}

func shorten(kid string) string {
	if len(kid) > 64 {
		return strings.ToValidUTF8(kid[:64], "") + "…"
	}
	return kid
}

// readJWKS finds the keys in a document. If the document is not clean, what its keys are
// like must be looked at one by one: what is wrong with one must not take the others away.
func readJWKS(data []byte) (jwks []json.RawMessage, clean bool, err error) {
	if len(data) > MaxJWKSBytes {
		return nil, false, fmt.Errorf("it has %d bytes; at most %d are accepted", len(data), MaxJWKSBytes)
	}
	if !json.Valid(data) {
		return nil, false, errors.New("it is not JSON")
	}
	clean = checkText(data) == nil
	keys, err := keysOf(data, clean)
	switch {
	case err != nil:
		return nil, false, err
	case json.Unmarshal(keys, &jwks) != nil || jwks == nil:
		return nil, false, errors.New("it has no list `keys`")
	case len(jwks) > MaxJWKSKeys:
		return nil, false, fmt.Errorf("it has %d keys; at most %d are accepted", len(jwks), MaxJWKSKeys)
	}
	return jwks, clean, nil
}

// keysOf returns the value of `keys`; nil: there is none.
func keysOf(data []byte, clean bool) (json.RawMessage, error) {
	if clean {
		// A map, because struct fields match members in any case.
		var doc map[string]json.RawMessage
		if json.Unmarshal(data, &doc) != nil || doc == nil {
			return nil, errNoObject
		}
		return doc["keys"], nil
	}
	found, err := membersNamed(data, "keys")
	switch {
	case err != nil:
		return nil, err
	case len(found) > 1: // readers disagree which one counts
		return nil, errors.New("it has a member \"keys\" twice")
	case len(found) == 1:
		return found[0], nil
	}
	return nil, nil
}

// membersNamed returns all members of a JSON object that have exactly this name.
func membersNamed(object []byte, name string) ([]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, errNoObject
	}
	var found []json.RawMessage
	for dec.More() {
		member, err := dec.Token()
		if err != nil {
			return nil, errNoObject
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errNoObject
		}
		if member == name {
			found = append(found, value)
		}
	}
	return found, nil
}

// checkMembers refuses a member name that an object has twice, since readers
// disagree which one counts, and deep nesting.
func checkMembers(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var n nesting
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && len(n) == 0 {
			return nil
		}
		if err != nil {
			return errors.New("it is not JSON")
		}
		if err := n.take(token); err != nil {
			return err
		}
	}
}

// nesting is the objects and lists that are open, with the names met in each; of a list nil.
type nesting []struct {
	names map[string]struct{}
	value bool // the object's next token is a value, not a name
}

func (n *nesting) take(token json.Token) error {
	if token == json.Delim('}') || token == json.Delim(']') {
		*n = (*n)[:len(*n)-1]
		return nil
	}
	if len(*n) > 0 {
		top := &(*n)[len(*n)-1]
		name, text := token.(string)
		if top.names != nil && text && !top.value {
			_, twice := top.names[name]
			if twice {
				return fmt.Errorf("it has a member %q twice", shorten(name))
			}
			top.names[name] = struct{}{}
			top.value = true
			return nil
		}
		top.value = false
	}
	switch token {
	case json.Delim('{'):
		*n = append(*n, nesting{{names: map[string]struct{}{}}}...)
	case json.Delim('['):
		*n = append(*n, nesting{{}}...)
	}
	if len(*n) > maxJWKSDepth {
		return errors.New("it is nested too deeply")
	}
	return nil
}

// jwk is one key as it stands in the set.
type jwk struct {
	text map[string]string
	ops  []string
	has  map[string]bool
}

// readJWK reads one key. Members that are empty are passed over: see isEmpty.
func readJWK(raw json.RawMessage) (jwk, error) {
	k := jwk{text: map[string]string{}, has: map[string]bool{}}
	// A map, because struct fields match members in any case.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return k, errors.New("it is not an object")
	}
	var problem error
	for name, value := range members {
		if isEmpty(value) {
			continue
		}
		k.has[name] = true
		switch name {
		case "kty", "use", "alg", "kid", "n", "e", "crv", "x", "y", "issuer":
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				problem = cmp.Or(problem, fmt.Errorf("its %s is not a string", name))
				continue
			}
			k.text[name] = text
		case "key_ops":
			if err := json.Unmarshal(value, &k.ops); err != nil {
				problem = cmp.Or(problem, errors.New("its key_ops is not a list of strings"))
			}
		}
	}
	return k, problem
}

// checkText refuses what readers understand differently.
func checkText(raw json.RawMessage) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	return checkMembers(raw)
}

// isEmpty reports whether a value is null, "" or []: serialisers write those for
// members that a key does not have.
func isEmpty(value json.RawMessage) bool {
	switch string(value) {
	case "null", `""`:
		return true
	}
	var list []json.RawMessage
	return value[0] == '[' && json.Unmarshal(value, &list) == nil && len(list) == 0
}

func (k jwk) key(allowed Algorithms) (*Key, error) {
	if err := k.checkPurpose(); err != nil {
		return nil, err
	}
	key, err := k.public()
	if err != nil {
		return nil, err
	}
	key.ID, key.Issuer = k.text["kid"], k.text["issuer"]
	if k.has["alg"] {
		alg, ok := ParseAlgorithm(k.text["alg"])
		if !ok {
			return nil, fmt.Errorf("its alg %q is not a supported signature algorithm", shorten(k.text["alg"]))
		}
		if err := key.restrict(alg.set()); err != nil {
			return nil, fmt.Errorf("its alg %s does not go with its kty and crv", alg)
		}
		key.declared = alg
	}
	if err := key.restrict(allowed); err != nil {
		return nil, err
	}
	return key, nil
}

// privateMembers are those of private and shared keys (RFC 7518 section 6, RFC 8037 section 2).
func privateMembers() []string { return []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} }

func (k jwk) checkPurpose() error {
	if k.text["kty"] == "oct" {
		return errors.New("it is a shared secret (kty oct), which never comes from a JWK set")
	}
	if slices.ContainsFunc(privateMembers(), func(name string) bool { return k.has[name] }) {
		return errPrivate
	}
	switch {
	case k.has["use"] && k.text["use"] != "sig":
		return fmt.Errorf("its use is %q, not \"sig\"", shorten(k.text["use"]))
	case k.has["key_ops"] && !slices.Contains(k.ops, "verify"):
		return errors.New("its key_ops do not have \"verify\"")
	case len(k.text["kid"]) > MaxKeyID:
		return fmt.Errorf("its kid has more than %d bytes", MaxKeyID)
	}
	return nil
}

func (k jwk) public() (*Key, error) {
	switch kty := k.text["kty"]; kty {
	case "RSA":
		return k.rsa()
	case "EC":
		return k.ec()
	case "OKP":
		return k.okp()
	case "":
		return nil, errors.New("it has no kty")
	default:
		return nil, fmt.Errorf("its kty %q is not RSA, EC or OKP", shorten(kty))
	}
}

func (k jwk) rsa() (*Key, error) {
	n, err := k.bytes("n")
	if err != nil {
		return nil, err
	}
	e, err := k.bytes("e")
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
		return nil, errors.New("the RSA exponent is above 2^31-1")
	}
	return newPublic(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())})
}

func (k jwk) okp() (*Key, error) {
	crv := k.text["crv"]
	if crv != "Ed25519" && crv != "Ed448" {
		return nil, errCurve
	}
	x, err := k.bytes("x")
	if err != nil {
		return nil, err
	}
	if crv == "Ed448" {
		return newEd448(x)
	}
	return newPublic(ed25519.PublicKey(x))
}

func (k jwk) ec() (*Key, error) {
	crv := k.text["crv"]
	if crv == "secp256k1" {
		point, err := k.point(32)
		if err != nil {
			return nil, err
		}
		return newSecp256k1(point)
	}
	curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
	if !ok {
		return nil, errCurve
	}
	point, err := k.point((curve.Params().BitSize + 7) / 8)
	if err != nil {
		return nil, err
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("its point is not on its curve")
	}
	return newPublic(public)
}

// point reads x and y, which have size bytes each.
func (k jwk) point(size int) ([]byte, error) {
	point := []byte{4} // uncompressed, SEC 1 section 2.3.3
	for _, name := range []string{"x", "y"} {
		coordinate, err := k.bytes(name)
		if err != nil {
			return nil, err
		}
		if len(coordinate) != size {
			return nil, fmt.Errorf("its %s has %d bytes, not %d", name, len(coordinate), size)
		}
		point = append(point, coordinate...)
	}
	return point, nil
}

func (k jwk) bytes(name string) ([]byte, error) {
	text := k.text[name]
	if text == "" {
		return nil, fmt.Errorf("it has no %s", name)
	}
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("its %s: %w", name, errNotBase64URL)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("its %s: %w", name, errNotBase64URL)
	}
	return data, nil
}
