package authn

import (
	"crypto/sha256"
	"testing"
)

// 15: two tokens of one hash are never taken for each other.
func TestCollisionIsAMiss(t *testing.T) {
	c := newCache[string](100, 1<<20)
	c.put(7, "token a", "a", 10)
	if v, ok := c.get(7, []byte("token b")); ok {
		t.Errorf("got %q for another token", v)
	}
	c.remove(7, []byte("token b"))
	if v, ok := c.get(7, []byte("token a")); !ok || v != "a" {
		t.Error("removing another token of the same hash removed this one")
	}
	c.put(7, "token b", "b", 10)
	if _, ok := c.get(7, []byte("token a")); ok {
		t.Error("the replaced token is still found")
	}
	if entries, bytes := c.size(); entries != 1 || bytes != 10 {
		t.Errorf("%d entries, %d bytes", entries, bytes)
	}
	c.put(8, "huge", "h", 1<<20)
	if _, ok := c.get(8, []byte("huge")); ok {
		t.Error("an entry larger than its share is kept")
	}
}

// A signature is that of the token's exact bytes.
func TestCollisionOfSignatures(t *testing.T) {
	n := newNewcomers(1<<20, 100)
	n.keepSignature(7, &Token{SHA256: sha256.Sum256([]byte("token a"))})
	if n.signature(7, []byte("token b")) != nil {
		t.Error("found for another token")
	}
	if n.signature(7, []byte("token a")) == nil {
		t.Error("not found")
	}
}
