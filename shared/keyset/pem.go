package keyset

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// maxPEM is the longest accepted text of a key.
const maxPEM = 64 << 10

// ParsePEM reads a public key: a SubjectPublicKeyInfo, a PKCS#1 RSA key or an
// X.509 certificate, whose validity the key then has. The armour may be left
// out. Several armoured public keys may follow each other; of certificates there
// must be one, so that an authority's key never comes along by accident.
func ParsePEM(text string) ([]*Key, error) {
	switch trimmed := strings.TrimSpace(text); {
	case trimmed == "":
		return nil, errEmpty
	case len(trimmed) > maxPEM:
		return nil, fmt.Errorf("it has more than %d bytes", maxPEM)
	case strings.HasPrefix(trimmed, "{"):
		return nil, errors.New("it is JSON; a JWK set belongs in keys.jwks")
	case !strings.Contains(trimmed, "-----BEGIN"):
		key, err := parseBare(trimmed)
		if err != nil {
			return nil, err
		}
		return []*Key{key}, nil
	}
	return parseArmoured([]byte(text))
}

func parseArmoured(rest []byte) ([]*Key, error) {
	var keys []*Key
	certificates := 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, errPrivate
		}
		if block.Type == "CERTIFICATE" {
			certificates++
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	switch {
	case strings.TrimSpace(string(rest)) != "" || len(keys) == 0:
		return nil, errors.New("it has something that is not a whole PEM block")
	case certificates > 0 && len(keys) > 1:
		return nil, errors.New("it has a certificate and more; give each certificate its own entry, without the authorities above it")
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (*Key, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return parseSPKI(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse PKCS#1 key: %w", err)
		}
		return newPublic(public)
	case "CERTIFICATE":
		return parseCertificate(block.Bytes)
	default:
		return nil, fmt.Errorf("a PEM block %q is not PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", shorten(block.Type))
	}
}

func parseSPKI(der []byte) (*Key, error) {
	if key, ok, err := parseOther(der); ok {
		return key, err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	return newPublic(public)
}

// parseOther reads a SubjectPublicKeyInfo with a key that crypto/x509 does not know: of
// Ed448 (RFC 8410 section 4) or of secp256k1 (RFC 5480 section 2.1.1). It is false if it
// is of another kind.
func parseOther(der []byte) (key *Key, ok bool, err error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, false, nil //nolint:nilerr // crypto/x509 tells what is wrong
	}
	var curve asn1.ObjectIdentifier
	switch id := info.Algorithm.Algorithm.String(); {
	case id == "1.3.101.113":
		key, err = newEd448(info.Key.RightAlign())
	case id == "1.2.840.10045.2.1" && isOID(info.Algorithm.Parameters.FullBytes, &curve) && curve.String() == "1.3.132.0.10":
		key, err = newSecp256k1(info.Key.RightAlign())
	default:
		return nil, false, nil
	}
	return key, true, err
}

func isOID(der []byte, to *asn1.ObjectIdentifier) bool {
	rest, err := asn1.Unmarshal(der, to)
	return err == nil && len(rest) == 0
}

func parseCertificate(der []byte) (*Key, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	key, err := parseSPKI(cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	key.notBefore, key.notAfter = cert.NotBefore.Unix(), cert.NotAfter.Unix()
	if key.notAfter <= 0 {
		return nil, errors.New("the certificate ended before 1970")
	}
	return key, nil
}

// parseBare reads the base64 of one key without its armour.
func parseBare(text string) (*Key, error) {
	compact := strings.Join(strings.Fields(text), "")
	der, err := base64.StdEncoding.DecodeString(compact)
	if err != nil {
		der, err = base64.RawStdEncoding.DecodeString(compact)
	}
	if err != nil {
		return nil, errors.New("it is neither PEM nor base64")
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return parseCertificate(der)
	}
	if _, ok, _ := parseOther(der); ok {
		return parseSPKI(der)
	}
	if _, err := x509.ParsePKIXPublicKey(der); err == nil {
		return parseSPKI(der)
	}
	if public, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return newPublic(public)
	}
	if isPrivate(der) {
		return nil, errPrivate
	}
	return nil, errors.New("it is not a public key (SubjectPublicKeyInfo or PKCS#1) or an X.509 certificate")
}

func isPrivate(der []byte) bool {
	_, pkcs8 := x509.ParsePKCS8PrivateKey(der)
	_, pkcs1 := x509.ParsePKCS1PrivateKey(der)
	_, ec := x509.ParseECPrivateKey(der)
	return pkcs8 == nil || pkcs1 == nil || ec == nil
}
