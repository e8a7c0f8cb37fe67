package demo

import (
	"io"
	"net/http"
)

// maxEcho is how much of a body the upstream shows again.
const maxEcho = 64 << 10

// Upstream answers every request with what it received, as JSON.
func Upstream() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEcho))
		if err != nil {
			answer(w, http.StatusRequestEntityTooLarge, map[string]any{"error": "the demo upstream echoes 64 KiB at most"})
			return
		}
		answer(w, http.StatusOK, map[string]any{
			"method": r.Method, "host": r.Host, "path": r.URL.EscapedPath(), "query": r.URL.RawQuery,
			"headers": r.Header, "body": string(body),
		})
	})
}
