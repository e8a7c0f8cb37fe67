// Package feed keeps what a node decides with current: the state folded from
// snapshot and log, or from files, and the view compiled from it.
//
// In a fleet a node starts from the newest valid snapshot on its disk, else from
// one of the control plane's, and then follows the log from the next sequence,
// never from "now". Each batch of entries is folded, compiled and swapped in
// with one atomic store; a request that has loaded a view goes on with it.
//
// What a node has applied is written to a journal next to its snapshots, and its
// heartbeats name what is on disk: what it reports to be in force is in force after a
// crash, too.
//
// What cannot be trusted is never served and what is served is never thrown
// away: a gap, another epoch, a state whose hash differs from the control
// plane's lead to a new snapshot, taken after a random pause while the old state
// goes on serving; with the control plane or NATS away the node serves what it
// has and says STALE.
package feed
