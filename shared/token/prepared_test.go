package token_test

import (
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/signature"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// A key answers the same before and after it has its table, and for each of its
// algorithms.
func TestVerifyPrepared(t *testing.T) {
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed448", "HS256", "HS384", "HS512"} {
		keys := set(t, alg)
		compact := sign(t, alg, `{"alg":"`+alg+`"}`, typical)
		for i := range 3 * signature.TableAfter {
			for _, c := range []struct {
				name, compact string
				want          error
			}{
				{"good", compact, nil},
				{"another payload", enc(`{"alg":"`+alg+`"}`) + "." + enc(`{"sub":"admin"}`) + compact[strings.LastIndexByte(compact, '.'):], token.ErrSignature},
				{"another signature", compact[:len(compact)-20] + "AAAA" + compact[len(compact)-16:], token.ErrSignature},
			} {
				u, err := token.Parse([]byte(c.compact))
				if err != nil {
					t.Fatal(err)
				}
				key, err := u.Verify(keys, 1_900_000_000)
				if (err == nil) != (key != nil) || err != c.want {
					t.Fatalf("%s, time %d: %s: %v, want %v", alg, i, c.name, err, c.want)
				}
			}
		}
		// The key may be used with both algorithms; the token says which one it is.
		if alg == "RS256" {
			other := sign(t, "RS512", `{"alg":"RS256"}`, typical)
			u, err := token.Parse([]byte(other))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Verify(keys, 1_900_000_000); err != token.ErrSignature {
				t.Errorf("an RS512 signature as RS256: %v", err)
			}
		}
	}
}
