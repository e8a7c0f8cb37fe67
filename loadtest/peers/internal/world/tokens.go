//go:build linux

package world

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/errgroup"
)

const (
	// Tokens outlive every run, and the directory that keeps them.
	lifetime = 10 * 365 * 24 * time.Hour
	// spread is prime: the tokens' applications jump about the whole world.
	spread = 7919
)

// Token is a request that is allowed.
type Token struct {
	Application int
	Path        string
	Compact     string
}

// Tokens returns a file of n tokens of one algorithm, each of another jti and, as
// far as there are enough, of another application. Each line is a path and a token.
// The file is made when it is missing.
func (w *World) Tokens(s Sizes, alg Algorithm, n int) (string, error) {
	file := filepath.Join(w.dir, fmt.Sprintf("tokens-%s-%d-%d-%d", alg, n, s.Apis, s.Applications))
	if _, err := os.Stat(file); err == nil || !errors.Is(err, os.ErrNotExist) {
		return file, err
	}
	w.say("signing %d tokens with %s, once", n, alg)
	tokens, err := w.sign(s, alg, n)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for _, t := range tokens {
		fmt.Fprintf(&out, "%s %s\n", t.Path, t.Compact)
	}
	return file, writeFile(file, out.Bytes())
}

// Mixed is like Tokens, but the signature of every tenth token is forged. No two
// forged tokens are the same.
func (w *World) Mixed(s Sizes, alg Algorithm, n int) (string, error) {
	valid, err := w.Tokens(s, alg, n)
	if err != nil {
		return "", err
	}
	file := valid + "-mixed"
	data, err := os.ReadFile(valid)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(data))
	for i := 1; lines.Scan(); i++ {
		line := lines.Bytes()
		if i%10 == 0 {
			line = Forge(line)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return file, errors.Join(lines.Err(), writeFile(file, out.Bytes()))
}

// Forge changes one character in the middle of a token's signature.
func Forge(token []byte) []byte {
	at := (bytes.LastIndexByte(token, '.') + len(token)) / 2
	forged := bytes.Clone(token)
	if forged[at] != 'A' {
		forged[at] = 'A'
	} else {
		forged[at] = 'B'
	}
	return forged
}

// One is the token of one application.
func (w *World) One(s Sizes, alg Algorithm) (Token, error) {
	tokens, err := w.sign(s, alg, 1)
	if err != nil {
		return Token{}, err
	}
	return tokens[0], nil
}

// Foreign is a path that the token's application is not subscribed to.
func (s Sizes) Foreign(t Token) string { return s.foreign(t.Application) }

// applicationOf is the application of the k-th token of an algorithm.
func (s Sizes) applicationOf(alg Algorithm, k int) int {
	kinds := len(Algorithms())
	of := s.Applications / kinds // applications with this algorithm, but for a few
	for i, a := range Algorithms() {
		if a == alg {
			return (k*spread)%of*kinds + i
		}
	}
	return 0
}

func (w *World) sign(s Sizes, alg Algorithm, n int) ([]Token, error) {
	tokens := make([]Token, n)
	now := time.Now()
	var g errgroup.Group
	workers := runtime.NumCPU()
	for first := range workers {
		g.Go(func() error {
			for k := first; k < n; k += workers {
				app := s.applicationOf(alg, k)
				compact, err := w.keys.token(alg, app, k, now)
				if err != nil {
					return err
				}
				tokens[k] = Token{app, s.path(app, k), compact}
			}
			return nil
		})
	}
	return tokens, g.Wait()
}

// token is what an identity provider gives out for client credentials.
func (k *Keys) token(alg Algorithm, application, number int, now time.Time) (string, error) {
	t := jwt.NewWithClaims(jwt.GetSigningMethod(string(alg)), jwt.MapClaims{
		"iss": alg.Issuer(), "sub": client(application), "aud": Audience, "azp": client(application),
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "jti": rand.Text()[:12] + fmt.Sprintf("%06d", number),
		"scope": "orders",
	})
	t.Header["kid"] = alg.kid()
	return t.SignedString(k.private[alg])
}

// writeFile leaves no half of a file behind.
func writeFile(file string, data []byte) error {
	if err := os.WriteFile(file+".part", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}
