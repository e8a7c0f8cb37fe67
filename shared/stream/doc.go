// Package stream is the only code that speaks NATS: it appends to the log,
// follows it, and carries the signals that processes send each other. It moves
// bytes; what a message means is decided by its readers.
//
// # Why the log is shaped as it is
//
// The log is one JetStream stream, and the only thing that control-plane
// replicas share. Its shape follows from three wishes.
//
// Loss must be visible. A stream that keeps one message per subject has holes by
// nature, so a reader cannot tell a message that was compacted from one that was
// lost. Ours has few subjects and no per-subject limit, and refuses deletes and
// purges; only age removes messages, at the front. Sequences therefore have no
// gaps, and a reader that sees one knows that something is wrong.
//
// Nothing that was removed may come back. Removing the newest message of a subject
// is not safe against crashes in the servers we build on: after an unclean stop
// the message before it can be the newest again, which for us would be a revoked
// key that works. In a log that is only ever appended to there is nothing to
// revive, and messages at the front that reappear after a crash are harmless.
//
// Writers need no locks. Every append names the sequence it expects to be the
// last, so a writer whose knowledge is out of date is refused and reads on.
// Uniqueness and references hold across replicas with nothing else.
//
// # Identity
//
// A log has an epoch, whose number is in the stream's name, and the epoch's id, which
// is drawn at random when the stream is created, kept in the stream's metadata and
// part of every subject. In the schema and in the metadata the id is called
// `founding`, a name that stays because old logs have it. Two streams of one name
// are thus told apart by every message they hold, and a writer that still believes in a stream that was
// deleted and created again cannot write into its successor, whose subjects differ.
//
// # Following
//
// A consumer of the server notices neither that its stream was replaced nor that
// it was cut back: it goes on at its old position in whatever it finds, or waits
// without end. So [Log.Follow] trusts it with nothing. It checks that every message
// has the next sequence and belongs to this epoch; when it resumes it asks for
// the last message again and compares; and every few seconds it asks the stream's
// leader where the log begins and ends, whether it is still the same, and whether
// a newer epoch exists. A suspicion that an election could explain is looked at
// more than once before it becomes an error.
//
// The consumers are what the client library calls ordered: held in memory, not
// acknowledged, and thrown away and replaced whenever there is a doubt. They are
// made here and not by the library because its own keeps retrying without its
// lock being free, so that a process could not stop while NATS is away.
//
// # Durability
//
// An acknowledged append is on the disks of a majority of the servers if these
// sync on every write (sync_interval: always). That setting cannot be seen from
// outside; package inprocess sets it, and operators of their own NATS must.
//
// # Permissions
//
// On servers that give permissions, a node named gw-1 needs to publish to
//
//	$JS.API.STREAM.NAMES, $JS.API.STREAM.INFO.*, $JS.API.CONSUMER.CREATE.*.*,
//	$JS.API.CONSUMER.DELETE.*.*, $JS.API.CONSUMER.MSG.NEXT.*.*,
//	portcullis.heartbeat.gw-1, portcullis.keys.refresh
//
// and to subscribe to _INBOX.gw-1.> and portcullis.head. The control plane also
// publishes to portcullis.*.log.> and portcullis.head, and subscribes to
// portcullis.heartbeat.* and portcullis.keys.refresh; to create a log it needs
// $JS.API.STREAM.CREATE.*. Nobody needs more. In names, other bytes than letters,
// digits, - and _ are written =XX in subjects.
package stream
