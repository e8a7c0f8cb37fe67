package signature

import (
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vectors struct {
	File, SHA string
	N         hexBytes
	E         hexBytes
	Point     hexBytes
	Tests     []struct {
		ID       int
		Comment  string
		Msg, Sig hexBytes
		Result   string
	}
}

// readVectors: see testdata/README.md.
func readVectors(t *testing.T, file string) (groups []vectors) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(unzipped).Decode(&groups); err != nil {
		t.Fatal(err)
	}
	return groups
}

func TestWycheproof(t *testing.T) {
	groups := readVectors(t, "testdata/wycheproof.json.gz")
	seen := map[string]int{}
	for _, g := range groups {
		check := g.checker(t)
		for _, c := range g.Tests {
			valid := check(c.Msg, c.Sig)
			// The acceptable ones lack NULL in DigestInfo: RFC 8017 lets them be refused.
			if want := c.Result == "valid"; valid != want {
				t.Errorf("%s %d (%s): valid %v, want %s", g.File, c.ID, c.Comment, valid, c.Result)
			}
			seen[c.Result]++
		}
	}
	t.Log(seen)
	if seen["valid"] < 200 || seen["invalid"] < 500 {
		t.Errorf("vectors are missing: %v", seen)
	}
}

func (g *vectors) checker(t *testing.T) func(message, sig []byte) bool {
	t.Helper()
	if g.Point != nil {
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), g.Point)
		if err != nil {
			t.Fatal(err)
		}
		tab := newTable(g.Point)
		return func(message, sig []byte) bool { return agreeP256(t, tab, key, sha256.Sum256(message), sig) }
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(g.N), E: int(new(big.Int).SetBytes(g.E).Int64())}
	k := NewRSA(key)
	hash := map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}[g.SHA]
	return func(message, sig []byte) bool { return agreeRSA(t, k, key, hash, message, sig) }
}

func decode64(t testing.TB, text string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const claims7515 = ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

// The example of RFC 7515 appendix A.2.
func TestRFC7515RS256(t *testing.T) {
	n := "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
	sig := decode64(t, "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw")
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(decode64(t, n)), E: 65537}
	if !agreeRSA(t, NewRSA(key), key, crypto.SHA256, []byte("eyJhbGciOiJSUzI1NiJ9"+claims7515), sig) {
		t.Error("refused")
	}
}

// The example of RFC 7515 appendix A.3.
func TestRFC7515ES256(t *testing.T) {
	point := append([]byte{4}, decode64(t, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")...)
	point = append(point, decode64(t, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...)
	sig := decode64(t, "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	if !agreeP256(t, newTable(point), key, sha256.Sum256([]byte("eyJhbGciOiJFUzI1NiJ9"+claims7515)), sig) {
		t.Error("refused")
	}
}

// In FIPS 140-3 mode nothing is decided here.
func TestFIPS(t *testing.T) {
	if os.Getenv("SIGNATURE_TEST_FIPS") != "" {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		n := new(big.Int).Lsh(big.NewInt(1), 2047)
		if NewP256(&key.PublicKey) != nil || NewRSA(&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}) != nil {
			t.Error("a key is taken")
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPS$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on", "SIGNATURE_TEST_FIPS=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestFIPS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// FuzzVerifyAgainstStandard compares with crypto/rsa and crypto/ecdsa. Data is a
// signature as it comes, or what is signed without any sense.
func FuzzVerifyAgainstStandard(f *testing.F) {
	key := newRSAKey(2048, 65537)
	k, size := NewRSA(key.public), key.public.Size()
	d := big.NewInt(4711)
	ec := public(f, timesG(d))
	tab := tableOf(f, ec)
	good := encode(make([]byte, size), crypto.SHA256, digestOf(crypto.SHA256, []byte("message")))
	f.Add([]byte("message"), good, true)
	f.Add([]byte("message"), key.signEM(good), false)
	f.Add([]byte("message"), make([]byte, 64), false)
	f.Add([]byte("message"), append(make([]byte, 31), 5, 0xff), true)
	f.Fuzz(func(t *testing.T, message, data []byte, signIt bool) {
		digest := sha256.Sum256(message)
		rsaSig, ecSig := data, data
		if signIt {
			em := make([]byte, size)
			copy(em, data)
			em[0] = 0
			rsaSig = key.signEM(em)
			// R = nonce·G, s = (e + r·d) / nonce
			if nonce := new(big.Int).Mod(new(big.Int).SetBytes(data), order); nonce.Sign() > 0 {
				x, err := timesG(nonce).BytesX()
				if err != nil {
					t.Fatal(err)
				}
				r := new(big.Int).Mod(new(big.Int).SetBytes(x), order)
				s := new(big.Int).SetBytes(digest[:])
				s = product(s.Add(s, product(r, d)), inverse(nonce))
				ecSig = concat(r, s)
				if !agreeP256(t, tab, ec, digest, ecSig) {
					t.Error("a good signature is refused")
				}
			}
		}
		agreeP256(t, tab, ec, digest, ecSig)
		for _, hash := range hashes {
			agreeRSA(t, k, key.public, hash, message, rsaSig)
		}
	})
}
