// Package portcullisv1 is the schema: resources, log entries, snapshot header, signals.
package portcullisv1

// SchemaVersion is the version of resources.proto that this program is built
// with: the option schema_version there, as a constant.
const SchemaVersion uint32 = 2
