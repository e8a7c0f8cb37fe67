package stream_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestFindAndFound(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	bus := server.Connect(t, "creator")
	if _, err := bus.Find(t.Context()); !errors.Is(err, stream.ErrNoLog) {
		t.Errorf("find in an empty server: got %v, want ErrNoLog", err)
	}
	// Streams of others do not matter, whatever their names.
	for _, name := range []string{"OTHER", "PORTCULLIS-9", "PORTCULLIS-00000x", "PORTCULLIS-000000", "PORTCULLIS-0000099"} {
		config := jetstream.StreamConfig{Name: name, Subjects: []string{"portcullis.x.log." + name}}
		if _, err := raw(t, server.URL()).CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	log := createLog(t, bus)
	if id := log.Identity(); id.Epoch != 1 || id.Stream != "PORTCULLIS-000001" || len(id.EpochID) != 26 {
		t.Errorf("identity is %+v", id)
	}
	if first, last, err := log.Bounds(t.Context()); err != nil || first != 1 || last != 0 {
		t.Errorf("bounds of an empty log are %d, %d, %v; want 1, 0", first, last, err)
	}
	second, err := bus.CreateLog(t.Context(), 12, 1001, 1)
	if err != nil {
		t.Fatal(err)
	}
	if first, last, err := second.Bounds(t.Context()); err != nil || first != 1001 || last != 1000 {
		t.Errorf("bounds of the second epoch are %d, %d, %v; want 1001, 1000", first, last, err)
	}
	appendAll(t, second, 1000, 2)
	server.Restart(t)
	newest, err := server.Connect(t, "reader").Find(t.Context())
	if err != nil || newest.Identity() != second.Identity() {
		t.Errorf("found %v, %v; want %v", newest, err, second.Identity())
	}
	if first, last, err := newest.Bounds(t.Context()); err != nil || first != 1001 || last != 1002 {
		t.Errorf("bounds after a restart are %d, %d, %v; want 1001, 1002", first, last, err)
	}
}

func TestFoundRefuses(t *testing.T) {
	t.Parallel()
	bus := streamtest.New(t).Connect(t, "creator")
	log, err := bus.CreateLog(t.Context(), 5, 7, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		epoch, first uint64
		replicas     int
		want         string
	}{
		"an earlier epoch":                  {4, 7, 0, stream.ErrExists.Error()},
		"the same epoch at another place":   {5, 8, 0, stream.ErrExists.Error()},
		"epoch 0":                           {0, 1, 0, "epoch"},
		"an epoch of seven digits":          {1_000_000, 1, 0, "epoch"},
		"sequence 0":                        {6, 0, 0, "sequence"},
		"more replicas than there are":      {6, 1, 3, "replicas"},
		"a negative number of replicas":     {6, 1, -1, "replicas"},
		"more replicas than NATS can do it": {6, 1, 6, "replicas"},
	} {
		if _, err := bus.CreateLog(t.Context(), test.epoch, test.first, test.replicas); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, test.want)
		}
	}
	again, err := bus.CreateLog(t.Context(), 5, 7, 0)
	if err != nil || again.Identity() != log.Identity() {
		t.Errorf("the same log again: got %v, %v; want the log that exists", again, err)
	}
}

func TestFoundersRace(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	foundersRace(t, func() *stream.Bus { return server.Connect(t, "creator") })
}

func foundersRace(t *testing.T, connect func() *stream.Bus) {
	t.Helper()
	var wg sync.WaitGroup
	identities := make([]stream.Identity, 4)
	for i := range identities {
		bus := connect()
		wg.Go(func() {
			log, err := bus.CreateLog(t.Context(), 1, 1, 0)
			if err != nil {
				t.Error(err)
				return
			}
			identities[i] = log.Identity()
		})
	}
	wg.Wait()
	for _, id := range identities {
		if id != identities[0] {
			t.Fatalf("founders disagree: %+v", identities)
		}
	}
}

func TestNothingCanBeTakenOut(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "writer"))
	appendAll(t, log, 0, 5)
	js := raw(t, server.URL())
	s, err := js.Stream(t.Context(), log.Identity().Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), 3); err == nil {
		t.Error("a message could be deleted")
	}
	if err := s.SecureDeleteMsg(t.Context(), 5); err == nil {
		t.Error("a message could be deleted securely")
	}
	if err := s.Purge(t.Context()); err == nil {
		t.Error("the stream could be purged")
	}
	config := s.CachedInfo().Config
	config.DenyDelete, config.DenyPurge = false, false
	if _, err := js.UpdateStream(t.Context(), config); err == nil {
		t.Error("deletes could be allowed")
	}
	if first, last, err := log.Bounds(t.Context()); err != nil || first != 1 || last != 5 {
		t.Errorf("bounds are %d, %d, %v; want 1, 5", first, last, err)
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log, err := server.Connect(t, "auditor").CreateLog(t.Context(), 3, 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Audit(t.Context()); err != nil {
		t.Errorf("audit of a new log: %v", err)
	}
	js := raw(t, server.URL())
	s, err := js.Stream(t.Context(), log.Identity().Stream)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.MaxMsgsPerSubject, config.MaxAge, config.Discard = 1, time.Hour, jetstream.DiscardOld
	config.Subjects = append(config.Subjects, "elsewhere")
	config.Duplicates = time.Minute
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	err = log.Audit(t.Context())
	if err == nil {
		t.Fatal("audit found nothing")
	}
	for _, name := range []string{"max_msgs_per_subject is 1, should be -1", "max_age is 1h", "discard", "subjects", "elsewhere", "duplicate_window"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("audit does not name %q: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "storage") {
		t.Errorf("audit names what is right: %v", err)
	}
}

func TestForeignStreamIsRefused(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	js := raw(t, server.URL())
	for _, metadata := range []map[string]string{
		nil,
		{"founding": "*", "first_sequence": "1"},
		{"founding": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
	} {
		_, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
			Name: "PORTCULLIS-000001", Subjects: []string{"portcullis.000001.log.x.>"}, Metadata: metadata,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Connect(t, "reader").Find(t.Context()); err == nil || !strings.Contains(err.Error(), "founding") {
			t.Errorf("metadata %v: got %v, want an error about the epoch's id", metadata, err)
		}
	}
}
