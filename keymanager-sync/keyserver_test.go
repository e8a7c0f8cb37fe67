package keymanager_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// What a key server asks for is read where keys are fetched: from this process's
// environment and files.
func TestKeyServerThatWantsToKnowWhoAsks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var byFile, byEnv atomic.Bool
	keys := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer from-a-file":
			byFile.Store(true)
		case "Bearer from-the-environment":
			byEnv.Store(true)
		}
		_, _ = w.Write([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	}))
	t.Cleanup(keys.Close)
	ca, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: keys.Certificate().Raw})))
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(streamtest.New(t), t.TempDir())
	cfg.LookupEnv = func(name string) (string, bool) { return "from-the-environment", name == "KEYS_TOKEN" }
	r := start(t, cfg)
	r.ready(t)
	for id, secret := range map[string]string{"by-file": fmt.Sprintf(`{"file":%q}`, file), "by-env": `{"env":"KEYS_TOKEN"}`} {
		body := fmt.Sprintf(`{"id":%q,"issuer":"https://%s.example/","keys":{"jwks_urls":[%q]},"jwks":{"ca_pem":%s,"bearer_token":%s}}`, id, id, keys.URL+"/"+id, ca, secret)
		if status, answer := r.do(t, http.MethodPost, "/v1/issuers", body); status != http.StatusCreated {
			t.Fatalf("%s: %d %s", id, status, answer)
		}
	}
	for end := time.Now().Add(20 * time.Second); !byFile.Load() || !byEnv.Load(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not asked with the token: by file %v, by environment %v", byFile.Load(), byEnv.Load())
		}
	}
}
