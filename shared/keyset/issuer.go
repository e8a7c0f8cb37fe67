package keyset

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

// Secrets reads the shared secrets that a resource names but does not hold. A
// field that is nil leaves such secrets out without an error: so the control
// plane checks an issuer whose secrets only the gateways have.
type Secrets struct {
	// Env returns an environment variable of the gateway.
	Env func(name string) (string, bool)
	// File returns the content of a file of the gateway.
	File func(path string) ([]byte, error)
}

// FromIssuer collects an issuer's keys: those it is configured with, and those
// that were fetched for it (see Sources; fetched may be nil).
//
// Something wrong with a configured PEM key or secret is an error, of type fault.List,
// with all there is. What is wrong with a key of a JWK set costs that key only, unless
// no key of a configured set can be used: see Set.Notes.
func FromIssuer(issuer *pb.Issuer, fetched *pb.KeySet, secrets Secrets) (*Set, error) {
	allowed, err := ParseAlgorithms(issuer.GetAlgorithms())
	if err != nil {
		found, _ := errors.AsType[fault.Fault](err)
		return nil, fault.List{found}
	}
	c := collector{allowed: allowed}
	keys := issuer.GetKeys()
	for i, text := range keys.GetPem() {
		parsed, err := ParsePEM(text)
		c.add(fmt.Sprintf("keys.pem[%d]", i), err, parsed...)
	}
	for i, secret := range keys.GetHmacSecrets() {
		c.secret(fmt.Sprintf("keys.hmac_secrets[%d]", i), secret, secrets)
	}
	if keys.GetJwks() != nil {
		c.inline(keys)
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	for _, source := range Sources(issuer, fetched) {
		c.fetched(source)
	}
	set := NewSet(c.keys)
	set.notes = append(c.notes, set.notes...)
	return set, nil
}

// Sources returns those of the fetched sources that count for an issuer: of the URLs
// that it still names, or that it discovers, and fetched under the settings that it
// has now. Keys that were fetched for another name, or from a server that was trusted
// by another authority, are not the issuer's, however long they may still be used.
func Sources(issuer *pb.Issuer, fetched *pb.KeySet) []*pb.KeySet_Source {
	var count []*pb.KeySet_Source
	for _, source := range fetched.GetSources() {
		if counts(issuer, source) {
			count = append(count, source)
		}
	}
	return count
}

func counts(issuer *pb.Issuer, source *pb.KeySet_Source) bool {
	named := slices.Contains(issuer.GetKeys().GetJwksUrls(), source.GetUrl())
	switch source.GetFetchedUnder() {
	case "":
		// Written by a version that kept no digest. What was discovered may be of another
		// name if the issuer was changed since; what of it was changed is not known.
		return named || issuer.GetDiscovery() && !changedSince(issuer.GetMeta(), source.GetFetchedAt().GetSeconds())
	case FetchedUnder(issuer, false):
		return named
	case FetchedUnder(issuer, true):
		return issuer.GetDiscovery()
	}
	return false
}

func changedSince(meta *pb.Meta, second int64) bool {
	return meta.GetVersion() > 1 && meta.GetUpdatedAt().GetSeconds() > second
}

// FetchedUnder is a digest of the settings of an issuer that decide whose keys a URL
// holds: what is to be written into a source that is fetched. discovered: its URL is
// not one that the issuer names.
func FetchedUnder(issuer *pb.Issuer, discovered bool) string {
	text := fmt.Appendf(nil, "1 %q %t %q", issuer.GetIssuer(), discovered, issuer.GetJwks().GetCaPem())
	if at := issuer.GetMetadataUrl(); discovered && at != "" {
		text = fmt.Appendf(text, " %q", at)
	}
	if which := issuer.GetMetadata(); discovered && which != pb.Issuer_EITHER {
		text = fmt.Appendf(text, " %d", which)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

type collector struct {
	allowed Algorithms
	keys    []*Key
	faults  fault.List
	notes   []string
}

func (c *collector) fault(field string, err error) {
	c.faults = append(c.faults, fault.Fault{Field: field, Code: fault.Invalid, Message: err.Error()})
}

func (c *collector) add(field string, err error, keys ...*Key) {
	for _, key := range keys {
		if err == nil {
			err = key.restrict(c.allowed)
		}
		key.Origin = field
		c.keys = append(c.keys, key)
	}
	if err != nil {
		c.fault(field, err)
	}
}

func (c *collector) secret(field string, s *pb.HmacSecret, secrets Secrets) {
	text, known, err := resolve(s, secrets)
	if err != nil {
		c.fault(field, err)
		return
	}
	if !known {
		if c.allowed&hmacAlgorithms == 0 {
			c.fault(field, errNoFit)
		}
		return
	}
	data := []byte(text)
	if s.GetEncoding() == pb.HmacSecret_BASE64 {
		if data, err = decodeSecret(text); err != nil {
			c.fault(field, err)
			return
		}
	}
	key, err := newSecret(data)
	if err != nil {
		c.fault(field, err)
		return
	}
	c.add(field, nil, key)
}

// resolve returns the secret's text; known is false if secrets does not read such
// sources.
func resolve(s *pb.HmacSecret, secrets Secrets) (text string, known bool, err error) {
	switch source := s.GetSource().(type) {
	case *pb.HmacSecret_Value:
		return source.Value, true, nil
	case *pb.HmacSecret_Env:
		text, err = ReadEnv(source.Env, secrets)
		return text, secrets.Env != nil, err
	case *pb.HmacSecret_File:
		text, err = ReadFile(source.File, secrets)
		return text, secrets.File != nil, err
	default:
		return "", false, errors.New("one of value, env and file is needed")
	}
}

// ReadEnv returns the secret in an environment variable. The text is empty only if
// secrets reads no environment.
func ReadEnv(name string, secrets Secrets) (text string, err error) {
	if name == "" {
		return "", errors.New("env is empty")
	}
	if strings.ContainsAny(name, "=\x00") {
		return "", fmt.Errorf("%q cannot be the name of an environment variable", name)
	}
	if secrets.Env == nil {
		return "", nil
	}
	text, ok := secrets.Env(name)
	if !ok || text == "" {
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	return text, nil
}

// ReadFile returns the secret in a file. The text is empty only if secrets reads
// no files.
func ReadFile(path string, secrets Secrets) (text string, err error) {
	if path == "" {
		return "", errors.New("file is empty")
	}
	if secrets.File == nil {
		return "", nil
	}
	data, err := secrets.File(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	// Editors end a file with a newline that is not part of the key.
	text = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("the file %s is empty", path)
	}
	return text, nil
}

// decodeSecret reads base64 in both alphabets, padded or not.
func decodeSecret(text string) ([]byte, error) {
	text = strings.TrimRight(strings.Join(strings.Fields(text), ""), "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the secret is not base64")
	}
	return data, nil
}

func (c *collector) inline(keys *pb.Keys) {
	const field = "keys.jwks"
	data, err := json.Marshal(keys.GetJwks().AsMap())
	if err != nil {
		c.fault(field, errors.New("it cannot be written as JSON"))
		return
	}
	set, skipped, err := ParseJWKS(data, Options{Algorithms: c.allowed})
	if err != nil {
		c.fault(field, err)
		return
	}
	if c.secretKeys(field, keys.GetJwks()) {
		return
	}
	if set.Len() == 0 {
		for _, s := range skipped {
			c.fault(fmt.Sprintf("%s.keys[%d]", field, s.Index), errors.New(s.Reason))
		}
		if len(skipped) == 0 {
			c.fault(field, errors.New("it has no keys"))
		}
	}
	for _, s := range skipped {
		c.notes = append(c.notes, fmt.Sprintf("%s.keys[%d] is not used: %s", field, s.Index, s))
	}
	for _, key := range set.Keys() {
		c.add(field, nil, key)
	}
}

// secretKeys refuses a pasted set with keys that are secret: unlike one that was
// fetched, it is part of the definition, and shown and stored with it.
func (c *collector) secretKeys(field string, set *structpb.Struct) bool {
	found := len(c.faults)
	c.secretKey(field, set.GetFields())
	for i, key := range set.GetFields()["keys"].GetListValue().GetValues() {
		c.secretKey(fmt.Sprintf("%s.keys[%d]", field, i), key.GetStructValue().GetFields())
	}
	return len(c.faults) > found
}

func (c *collector) secretKey(field string, members map[string]*structpb.Value) {
	f := fault.Fault{Field: field, Code: fault.Invalid}
	switch {
	case members["kty"].GetStringValue() == "oct":
		f.Message, f.Hint = "it is a shared secret (kty oct), which is shown with the set", "write it under keys.hmac_secrets, and take a new one if this one was shown to anybody"
	case slices.ContainsFunc(privateMembers(), func(name string) bool { return present(members[name]) }):
		f.Message, f.Hint = errPrivate.Error(), "paste the public part, without "+strings.Join(privateMembers(), ", ")
	default:
		return
	}
	f.Message = Skipped{KeyID: shorten(members["kid"].GetStringValue()), Reason: f.Message}.String()
	c.faults = append(c.faults, f)
}

// present is the opposite of isEmpty.
func present(v *structpb.Value) bool {
	switch kind := v.GetKind().(type) {
	case nil, *structpb.Value_NullValue:
		return false
	case *structpb.Value_StringValue:
		return kind.StringValue != ""
	case *structpb.Value_ListValue:
		return len(kind.ListValue.GetValues()) > 0
	}
	return true
}

// fetched takes over what a URL held. The control plane has already named what
// it skipped; what does not fit here is left out once more.
func (c *collector) fetched(source *pb.KeySet_Source) {
	opts := Options{Algorithms: c.allowed, Origin: mask.URL(source.GetUrl())}
	if until := source.GetUsableUntil(); until != nil {
		opts.UsableUntil = max(until.GetSeconds(), 1)
	}
	set, skipped, err := ParseJWKS([]byte(source.GetJwks()), opts)
	switch {
	case err != nil:
		c.notes = append(c.notes, fmt.Sprintf("the key set of %s is not used: %v", opts.Origin, err))
		return
	case set.Len() == 0 && len(skipped) > 0:
		c.notes = append(c.notes, fmt.Sprintf("no key of %s is used; of the first: %s", opts.Origin, skipped[0]))
	}
	c.keys = append(c.keys, set.Keys()...)
}
