package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Numbers of fields. TestEveryFieldIsKnown compares them with the schema.
const (
	entryEpoch, entryEpochID, entryTransactions, entryAwaited = 1, 2, 3, 4

	transactionChanges = 5

	changeKind, changeID, changeVersion, changeResource                = 1, 2, 3, 4
	changeRemoved, changeRestrictive, changeCreatedAt, changeUpdatedAt = 5, 6, 7, 8

	subscriptionApplication, subscriptionPlan, subscriptionStatus = 2, 3, 4
	subscriptionStartsAt, subscriptionEndsAt                      = 5, 6

	applicationClients, applicationKeys, applicationCertificates = 5, 6, 7

	clientIssuer, clientID, clientEnvironment = 1, 2, 3

	credentialID, credentialSHA256, credentialExpiresAt = 1, 2, 3 // of ApiKey and Certificate

	timestampSeconds = 1
)

// Entry is a pb.Entry.
type Entry struct {
	Epoch   uint64
	EpochID string
	Awaited bool
	Changes []string // encoded, of all transactions
}

// ReadEntry reads an encoded pb.Entry. Its changes are not looked into.
func ReadEntry(raw string) (Entry, error) {
	var e Entry
	r := reader{rest: raw}
	for r.next() {
		switch {
		case r.varint(entryEpoch):
			e.Epoch = r.value
		case r.bytes(entryEpochID):
			e.EpochID = r.data
		case r.bytes(entryTransactions):
			e.Changes, r.err = appendChanges(e.Changes, r.data)
		case r.varint(entryAwaited):
			e.Awaited = r.value != 0
		}
	}
	if r.err != nil {
		return e, fmt.Errorf("entry: %w", r.err)
	}
	return e, nil
}

func appendChanges(to []string, transaction string) ([]string, error) {
	r := reader{rest: transaction}
	for r.next() {
		if r.bytes(transactionChanges) {
			to = append(to, r.data)
		}
	}
	if r.err != nil {
		return to, fmt.Errorf("transaction: %w", r.err)
	}
	return to, nil
}

// Change is a pb.Change.
type Change struct {
	Raw                  string // all of it, encoded
	Kind                 pb.Kind
	ID                   string
	IDAt                 Range
	Version              uint64
	Resource             string // encoded
	resourceEnd          int    // in Raw
	Removed, Restrictive bool
	CreatedAt, UpdatedAt int64 // seconds since 1970
}

// ReadChange reads an encoded pb.Change. It fails if the change names no resource.
func ReadChange(raw string) (Change, error) {
	c := Change{Raw: raw}
	r := reader{rest: raw, end: len(raw)}
	for r.next() {
		switch {
		case r.varint(changeKind):
			c.Kind = pb.Kind(r.value)
		case r.bytes(changeID):
			if c.ID, c.IDAt = r.data, r.at(); !utf8.ValidString(c.ID) { // it could not be reported
				return c, errors.New("change: its id is not UTF-8")
			}
		case r.varint(changeVersion):
			c.Version = r.value
		case r.bytes(changeResource):
			c.Resource, c.resourceEnd = r.data, len(raw)-len(r.rest)
		case r.varint(changeRemoved):
			c.Removed = r.value != 0
		case r.varint(changeRestrictive):
			c.Restrictive = r.value != 0
		case r.varint(changeCreatedAt):
			c.CreatedAt = int64(r.value)
		case r.varint(changeUpdatedAt):
			c.UpdatedAt = int64(r.value)
		}
	}
	if r.err != nil {
		return c, fmt.Errorf("change: %w", r.err)
	}
	if c.ID == "" {
		return c, errors.New("change: no id")
	}
	if c.UpdatedAt == 0 {
		c.UpdatedAt = c.CreatedAt
	}
	return c, nil
}

// Subscription is what indexes need of a pb.Subscription.
type Subscription struct {
	Application, Plan string
	Status            pb.Subscription_Status
	StartsAt, EndsAt  int64 // seconds since 1970; 0: no bound. What ended before 1 ended at 1
}

// ReadSubscription reads an encoded pb.Subscription. It fails if the subscription
// has no application or no plan.
func ReadSubscription(resource string) (Subscription, error) {
	var s Subscription
	ends := false
	r := reader{rest: resource}
	for r.next() {
		switch {
		case r.bytes(subscriptionApplication):
			s.Application = r.data
		case r.bytes(subscriptionPlan):
			s.Plan = r.data
		case r.varint(subscriptionStatus):
			s.Status = pb.Subscription_Status(r.value)
		case r.bytes(subscriptionStartsAt):
			s.StartsAt, r.err = readSeconds(r.data, s.StartsAt)
		case r.bytes(subscriptionEndsAt):
			s.EndsAt, r.err = readSeconds(r.data, s.EndsAt)
			ends = true
		}
	}
	if ends {
		s.EndsAt = end(s.EndsAt)
	}
	if r.err != nil {
		return s, r.err
	}
	if s.Application == "" || s.Plan == "" {
		return s, errors.New("subscription without application or plan")
	}
	return s, nil
}

// end is the second at which something ends that says so: 0 stands for what does not.
// All that ended at the beginning of 1970 or before has ended long ago.
func end(seconds int64) int64 { return max(seconds, 1) }

// readSeconds reads google.protobuf.Timestamp, whole seconds only. before is the value
// of the same field if it comes a second time: protobuf merges the two.
func readSeconds(message string, before int64) (int64, error) {
	seconds := before
	r := reader{rest: message}
	for r.next() {
		if r.varint(timestampSeconds) {
			seconds = int64(r.value)
		}
	}
	return seconds, r.err
}

// Application is what indexes need of a pb.Application.
type Application struct {
	Clients            []Client
	Keys, Certificates []Credential
}

// Range is where some bytes are in the encoded change that they were read from.
type Range struct{ From, Length uint32 }

// In returns the bytes of a range.
func (r Range) In(change string) string { return change[r.From : r.From+r.Length] }

// Client is a pb.Client.
type Client struct {
	Issuer, ID  Range
	Environment pb.Client_Environment
}

// Credential is a pb.ApiKey or a pb.Certificate.
type Credential struct {
	ID, SHA256 Range
	ExpiresAt  int64 // seconds since 1970; 0: never. What ended before 1 ended at 1
}

// ReadApplication reads the pb.Application of a change.
func ReadApplication(c Change) (Application, error) {
	var a Application
	r := reader{rest: c.Resource, end: c.resourceEnd}
	for r.next() {
		switch {
		case r.bytes(applicationClients):
			var client Client
			client, r.err = readClient(r.nested())
			a.Clients = append(a.Clients, client)
		case r.bytes(applicationKeys):
			var key Credential
			key, r.err = readCredential(r.nested())
			a.Keys = append(a.Keys, key)
		case r.bytes(applicationCertificates):
			var certificate Credential
			certificate, r.err = readCredential(r.nested())
			a.Certificates = append(a.Certificates, certificate)
		}
	}
	return a, r.err
}

func readClient(r reader) (Client, error) {
	var c Client
	for r.next() {
		switch {
		case r.bytes(clientIssuer):
			c.Issuer = r.at()
		case r.bytes(clientID):
			c.ID = r.at()
		case r.varint(clientEnvironment):
			c.Environment = pb.Client_Environment(r.value)
		}
	}
	return c, r.err
}

func readCredential(r reader) (Credential, error) {
	var c Credential
	ends := false
	for r.next() {
		switch {
		case r.bytes(credentialID):
			c.ID = r.at()
		case r.bytes(credentialSHA256):
			c.SHA256 = r.at()
		case r.bytes(credentialExpiresAt):
			c.ExpiresAt, r.err = readSeconds(r.data, c.ExpiresAt)
			ends = true
		}
	}
	if ends {
		c.ExpiresAt = end(c.ExpiresAt)
	}
	return c, r.err
}
