package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// door stands before the real control plane, and may be shut.
type door struct {
	url string
	// shut: the door answers 503 by itself. cut: it breaks the connection after the
	// control plane has answered.
	shut, cut atomic.Bool
	asked     atomic.Int64
}

func open(t *testing.T) *door {
	t.Helper()
	target, err := url.Parse(os.Getenv("PORTCULLIS_CONTROL"))
	if err != nil {
		t.Fatal(err)
	}
	d := new(door)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(*http.Response) error {
		if d.cut.Load() {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.asked.Add(1)
		if d.shut.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	d.url = "http://" + listener.Addr().String()
	return d
}

// closed is an address at which nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return "http://" + listener.Addr().String()
}

func client(t *testing.T, addresses ...string) *api.Client {
	t.Helper()
	c, err := api.New(api.Config{Addresses: addresses, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestReadsFailOver(t *testing.T) {
	first, second := open(t), open(t)
	c := client(t, first.url, second.url)
	first.shut.Store(true)
	for range 3 {
		if _, err := c.Fleet(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := first.asked.Load(); n != 1 {
		t.Errorf("a replica that is away was asked %d times", n)
	}
	second.cut.Store(true)
	first.shut.Store(false)
	if _, err := c.Fleet(t.Context()); err != nil {
		t.Errorf("a lost answer: %v", err)
	}
}

func TestWriteThatDidNotLeaveIsRepeated(t *testing.T) {
	c := client(t, closed(t), open(t).url)
	if _, err := c.Applications().Create(t.Context(), &pb.Application{Id: "did-not-leave"}, api.Write{}); err != nil {
		t.Error(err)
	}
}

// Without a key nobody knows whether a write whose answer is lost has happened.
func TestWriteWithoutKeyIsNotRepeated(t *testing.T) {
	first, second := open(t), open(t)
	c := client(t, first.url, second.url)
	first.cut.Store(true)
	if _, err := c.Applications().Create(t.Context(), &pb.Application{Id: "lost"}, api.Write{}); err == nil {
		t.Error("no error")
	}
	first.cut.Store(false)
	first.shut.Store(true)
	_, err := client(t, first.url, second.url).Applications().Create(t.Context(), &pb.Application{Id: "refused"}, api.Write{})
	if p, ok := errors.AsType[*api.Problem](err); !ok || p.Status != http.StatusServiceUnavailable {
		t.Errorf("got %v", err)
	}
	if n := second.asked.Load(); n != 0 {
		t.Errorf("the second replica was asked %d times", n)
	}
}

func TestWriteWithKeyHappensOnce(t *testing.T) {
	first, second := open(t), open(t)
	c := client(t, first.url, second.url)
	first.cut.Store(true)
	made, err := c.Applications().Create(t.Context(), &pb.Application{Id: "keyed"}, api.Write{IdempotencyKey: "keyed-1"})
	if err != nil {
		t.Fatal(err)
	}
	if !made.Replayed || made.Resource.GetMeta().GetVersion() != 1 || made.Sequence == 0 {
		t.Errorf("got %+v", made.Outcome)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	d := open(t)
	d.shut.Store(true)
	_, err := client(t, d.url).Fleet(t.Context())
	if _, ok := errors.AsType[*api.Problem](err); !ok || d.asked.Load() != 3 {
		t.Errorf("%v after %d attempts", err, d.asked.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client(t, d.url).Fleet(ctx); !errors.Is(err, context.Canceled) || d.asked.Load() != 3 {
		t.Errorf("ended: %v after %d attempts", err, d.asked.Load())
	}
}

func TestLifecycle(t *testing.T) {
	ctx, c := t.Context(), client(t, os.Getenv("PORTCULLIS_CONTROL"))
	file := api.File{Name: "f", Data: []byte(`
kind: Api
id: orders
name: Orders
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:1"}]}
---
kind: Plan
id: orders-key
api: orders
security: API_KEY
status: PUBLISHED
`)}
	would, _, err := c.Apply(ctx, api.Apply{Files: []api.File{file}, DryRun: true})
	if err != nil || len(would.Changes) == 0 || would.Changes[0].Action != api.Created {
		t.Fatalf("dry run: %+v %v", would, err)
	}
	if _, _, err := c.Apply(ctx, api.Apply{Files: []api.File{file}}); err != nil {
		t.Fatal(err)
	}
	stopped, err := c.Apis().Step(ctx, "orders", "stop", api.Write{})
	if err != nil || !stopped.Resource.GetStopped() || stopped.Resource.GetRevision() != 1 {
		t.Errorf("stop: %v %v", stopped, err)
	}
	_, err = c.Apis().Step(ctx, "orders", "stop", api.Write{})
	if p, ok := errors.AsType[*api.Problem](err); !ok || p.Status != http.StatusConflict || p.Errors[0].Hint != "from here: start" {
		t.Errorf("stopped again: %v", err)
	}
	if d, err := c.Deployments().Get(ctx, "orders"); err != nil || !d.Resource.GetStopped() {
		t.Errorf("deployment: %v %v", d, err)
	}
	if _, err := c.Apis().Delete(ctx, "orders", api.Write{}); err == nil {
		t.Error("an Api with a plan was removed")
	}
	gone, err := c.Apis().Delete(ctx, "orders", api.Write{Cascade: true, IfMatch: "*"})
	if err != nil || gone.Sequence <= stopped.Sequence {
		t.Errorf("delete: %+v %v", gone, err)
	}
	if _, err := c.Plans().Since(gone.Sequence).Get(ctx, "orders-key"); err == nil {
		t.Error("the plan is still there")
	}
}

// What the control plane masks stays as it is when it is sent back.
func TestSecrets(t *testing.T) {
	ctx, c := t.Context(), client(t, os.Getenv("PORTCULLIS_CONTROL"))
	secret := strings.Repeat("s", 64)
	made, err := c.Issuers().Create(ctx, &pb.Issuer{
		Id: "hmac", Issuer: "https://hmac.test", Algorithms: []string{"HS256"},
		Keys: &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Value{Value: secret}}}},
	}, api.Write{})
	if err != nil {
		t.Fatal(err)
	}
	if shown := made.Resource.GetKeys().GetHmacSecrets()[0].GetValue(); strings.Contains(shown, "s") {
		t.Errorf("the answer shows %q", shown)
	}
	if _, err := c.Issuers().Put(ctx, made.Resource, api.Write{IfMatch: made.ETag}); err != nil {
		t.Errorf("sent back: %v", err)
	}
}

func TestImportGoesOn(t *testing.T) {
	first, second := open(t), open(t)
	var text strings.Builder
	for i := range 1500 {
		text.WriteString("---\nkind: Application\nid: imported-" + string(rune('a'+i%26)) + "-" + strings.Repeat("x", i/26) + "y\n")
	}
	first.shut.Store(true)
	lost, lines := 0, 0
	last, err := client(t, first.url, second.url).Import(t.Context(), api.Import{
		ID: "many", File: "many.yaml",
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text.String())), nil },
		Report: func(api.Progress) { lines++ },
		Lost:   func(error, time.Duration) { lost++ },
	})
	if err != nil || !last.Done || last.Resources != 1500 || last.Chunks != 2 || lost != 1 || lines != 3 {
		t.Errorf("%+v %v; lost %d, %d lines", last, err, lost, lines)
	}
	_, err = client(t, second.url).Import(t.Context(), api.Import{
		ID: "bad", File: "bad.yaml",
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("kind: Application\nid: b\nnam: x\n")), nil
		},
	})
	if err == nil || err.Error() != `bad.yaml:3: application/b: nam: unknown field (hint: did you mean "name"?)` {
		t.Errorf("got %v", err)
	}
}

func TestNew(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  api.Config
		want string
	}{
		"no address": {api.Config{Token: "t"}, "address"},
		"no token":   {api.Config{Addresses: []string{"http://h"}}, "token"},
		"no scheme":  {api.Config{Addresses: []string{"http://h", "h:1"}, Token: "t"}, `"h:1"`},
	} {
		if _, err := api.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A revocation that hits no token looks like one that does.
func TestRevokeTakesTokensOnly(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	signed := func(alg, payload string, signature int) string {
		return encode([]byte(`{"alg":"`+alg+`"}`)) + "." + encode([]byte(payload)) + "." + encode(make([]byte, signature))
	}
	const opaque = "gho_x16C7e42F292c6912E7710c838347Ae178B4a=="
	soon := time.Now().Unix() + 3600
	jwt := signed("RS256", fmt.Sprintf(`{"exp":%d}`, soon), 256)
	for name, c := range map[string]struct{ text, token string }{
		"bare":            {jwt, jwt},
		"white space":     {" \t" + jwt + "\r\n", jwt},
		"bearer":          {"Bearer " + jwt, jwt},
		"any case":        {"bEARER\t" + jwt + "\n", jwt},
		"DPoP":            {"dpop  " + jwt, jwt},
		"opaque":          {opaque, opaque},
		"opaque bearer":   {"Bearer " + opaque, opaque},
		"opaque dots":     {"ya29.a0Af.x", "ya29.a0Af.x"},
		"two schemes":     {"Bearer DPoP " + jwt, ""},
		"nothing":         {" ", ""},
		"the word alone":  {"Bearer ", ""},
		"header":          {"Authorization: Bearer " + jwt, ""},
		"another scheme":  {"Basic " + opaque, ""},
		"quoted":          {`"` + jwt + `"`, ""},
		"quotes inside":   {`Bearer '` + jwt + `'`, ""},
		"comma":           {jwt + ",", ""},
		"equals":          {jwt + "=", ""},
		"opaque quoted":   {`"` + opaque + `"`, ""},
		"opaque comma":    {opaque + ",", ""},
		"padding alone":   {"==", ""},
		"cut in the end":  {jwt[:len(jwt)-4], ""},
		"one letter less": {jwt[:len(jwt)-1], ""},
		"no signature":    {jwt[:strings.LastIndexByte(jwt, '.')+1], ""},
		"two parts":       {jwt[:strings.LastIndexByte(jwt, '.')], ""},
		"header only":     {jwt[:strings.IndexByte(jwt, '.')], ""},
		"half a header":   {jwt[:9], ""},
		"cut in front":    {jwt[2:], ""},
		"signature added": {jwt + "AAAA", ""},
		"five parts":      {jwt + ".AAAA.AAAA", ""},
		"short HMAC":      {signed("HS256", `{}`, 30), ""},
		"short ECDSA":     {signed("ES384", `{}`, 93), ""},
		"short Ed25519":   {signed("EdDSA", `{}`, 63), ""},
		"wrapped":         {jwt[:40] + "\n" + jwt[40:], ""},
		"too long":        {strings.Repeat("a", 64<<10+1), ""},
	} {
		r, err := api.TokenRevocation(c.text, time.Time{})
		switch {
		case c.token == "":
			if !errors.Is(err, api.ErrNotToken) || strings.Contains(err.Error(), jwt[10:30]) {
				t.Errorf("%s: %v %v", name, r, err)
			}
		case err != nil || r.GetTokenSha256() != fmt.Sprintf("%x", sha256.Sum256([]byte(c.token))):
			t.Errorf("%s: %v %v", name, r, err)
		case (r.GetExpiresAt() != nil) != (c.token == jwt):
			t.Errorf("%s ends at %v", name, r.GetExpiresAt())
		}
	}
	for alg, size := range map[string]int{
		"RS256": 384, "RS384": 512, "RS512": 1024, "PS256": 256, "PS384": 256, "PS512": 256, "ES256": 64, "ES256K": 64,
		"ES384": 96, "ES512": 132, "Ed25519": 64, "Ed448": 114, "HS256": 32, "HS384": 48, "HS512": 64,
	} {
		if _, err := api.TokenRevocation(signed(alg, `{}`, size), time.Time{}); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// A revocation ends when the token has, as nodes read its exp, and not before.
func TestRevocationEndsWithTheToken(t *testing.T) {
	now := time.Now().Unix()
	until := time.Unix(now+60, 0)
	for name, c := range map[string]struct {
		payload string
		until   time.Time
		end     int64 // 0: never
		err     error
	}{
		"exp":                  {payload: fmt.Sprintf(`{"exp":%d}`, now+100), end: now + 700},
		"an exponent":          {payload: `{"exp":1.9e9}`, end: 1900000600},
		"a fraction":           {payload: `{"exp":1900000000.9}`, end: 1900000600},
		"none":                 {payload: `{}`},
		"null":                 {payload: `{"exp":null}`},
		"another name":         {payload: `{"EXP":1900000000}`},
		"another name, past":   {payload: `{"Exp":1}`},
		"both names":           {payload: `{"exp":1900000000,"EXP":1}`, end: 1900000600},
		"the last second":      {payload: `{"exp":253402300799}`},
		"within the skew":      {payload: fmt.Sprintf(`{"exp":%d}`, now-300), end: now + 300},
		"expired":              {payload: fmt.Sprintf(`{"exp":%d}`, now-601), err: api.ErrExpired},
		"expired in 1970":      {payload: `{"exp":0}`, err: api.ErrExpired},
		"expired, but until":   {payload: `{"exp":1}`, until: until, end: now + 60},
		"until instead of exp": {payload: `{"exp":1900000000}`, until: until, end: now + 60},
		"before 1970":          {payload: `{"exp":-5}`, err: api.ErrNotToken},
		"no number":            {payload: `{"exp":"1900000000"}`, err: api.ErrNotToken},
		"beyond 9999":          {payload: `{"exp":1e30}`, err: api.ErrNotToken},
		"exp twice":            {payload: `{"exp":1,"exp":1900000000}`, err: api.ErrNotToken},
	} {
		compact := "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(c.payload)) + "." + strings.Repeat("A", 43)
		r, err := api.TokenRevocation(compact, c.until)
		if !errors.Is(err, c.err) || r.GetExpiresAt().GetSeconds() != c.end {
			t.Errorf("%s: ends at %v, error %v", name, r.GetExpiresAt(), err)
		}
	}
	if r, err := api.TokenRevocation("opaque", until); err != nil || r.GetExpiresAt().GetSeconds() != now+60 {
		t.Errorf("opaque: %v %v", r, err)
	}
}

// A redirect would carry the token to another host.
func TestRedirectIsRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.RedirectHandler(os.Getenv("PORTCULLIS_CONTROL")+"/v1/fleet", http.StatusFound)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	if _, err := client(t, "http://"+listener.Addr().String()).Fleet(t.Context()); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("got %v", err)
	}
}

// An address with a password in it is not repeated in errors.
func TestErrorsShowNoPasswords(t *testing.T) {
	if _, err := api.New(api.Config{Addresses: []string{"ftp://me:pl4nted@127.0.0.1:1"}, Token: "t"}); err == nil || strings.Contains(err.Error(), "pl4nted") {
		t.Errorf("got %v", err)
	}
	c, err := api.New(api.Config{Addresses: []string{"http://me:pl4nted@127.0.0.1:1/?token=pl4nted"}, Token: "t", Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fleet(t.Context()); err == nil || strings.Contains(err.Error(), "pl4nted") {
		t.Errorf("got %v", err)
	}
}
