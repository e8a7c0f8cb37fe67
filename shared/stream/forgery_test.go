package stream_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// A follower gets a message that its consumer did not send, or did not send next,
// as if others had been lost on their way or the stream were another.
func TestMessagesOutOfTurn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		skip    int // deliveries that seem lost
		prefix  string
		trusted bool
	}{
		"some were lost":    {skip: 3, prefix: "portcullis.000001.log.", trusted: true},
		"of another stream": {skip: 0, prefix: "portcullis.000002.log.", trusted: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := streamtest.New(t)
			log := createLog(t, server.Connect(t, "reader"))
			wire := newWire(t, strings.TrimPrefix(server.URL(), "nats://"))
			reading, err := streamtest.Connect(t, "nats://"+wire.address(), "reader").Find(t.Context())
			must(t, err)
			appendAll(t, log, 0, 3)
			r := follow(t, reading, 0)
			r.wait(t, 0, 3)

			id := log.Identity()
			subject := test.prefix + id.EpochID + ".mixed"
			pull := regexp.MustCompile(`PUB \$JS\.API\.CONSUMER\.MSG\.NEXT\.\S+\.(\S+) (\S+) `).FindStringSubmatch(wire.upstream())
			sid := regexp.MustCompile(`SUB ` + regexp.QuoteMeta(pull[2]) + ` +(\d+)`).FindStringSubmatch(wire.upstream())
			ack := fmt.Sprintf("$JS.ACK.%s.%s.1.4.%d.%d.0", id.Stream, pull[1], 4+test.skip, time.Now().UnixNano())
			wire.inject(t, fmt.Sprintf("MSG %s %s %s 1\r\n4\r\n", subject, sid[1], ack))
			if !test.trusted {
				r.ends(t, stream.ErrReplaced, soon)
				return
			}
			appendAll(t, log, 3, 3)
			r.wait(t, 0, 6)
		})
	}
}

// A stream that seems to be gone for a moment, as after the restart of a cluster,
// is not given up.
func TestMomentaryAbsenceIsForgiven(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	log := createLog(t, server.Connect(t, "both"))
	js := raw(t, server.URL())
	s, err := js.Stream(t.Context(), log.Identity().Stream)
	must(t, err)
	r := follow(t, log, 0)
	eventually(t, "following", func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.State.Consumers == 1
	})
	deleteStream(t, server.URL(), log)
	time.Sleep(300 * time.Millisecond)
	_, err = js.CreateStream(t.Context(), s.CachedInfo().Config)
	must(t, err)
	appendAll(t, log, 0, 5)
	r.wait(t, 0, 5)
}
