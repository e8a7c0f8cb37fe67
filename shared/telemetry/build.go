package telemetry

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Set by the linker in release builds, which know more than the Go command does:
//
//	go build -ldflags "-X github.com/portcullis-gateway/portcullis/shared/telemetry.version=v1.2.3"
//
// Empty: what the Go command has recorded.
//
//nolint:gochecknoglobals // the linker sets no other kind of variable
var (
	version  string // v1.2.3
	revision string // the whole commit hash
)

// Build says from what a program was built. Fields that the build does not know
// are empty.
type Build struct {
	// Version is the module's version, such as v1.2.3, or for a build from a
	// checkout without a tag the commit's first 12 digits, with +dirty if files had
	// been changed; "devel" when the build records neither.
	Version string `json:"version"`
	// Revision is the commit's whole hash, Time when it was made (RFC 3339), and
	// Dirty whether files had been changed since.
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Dirty    bool   `json:"dirty"`
	// GoVersion is the compiler's, Platform the system and processor built for.
	GoVersion string `json:"go_version"`
	Platform  string `json:"platform"`
	// Schema is the version of the resources' schema that the program knows.
	Schema uint32 `json:"schema"`
	// Note says why there is no revision.
	Note string `json:"note,omitempty"`
}

// ReadBuild reads what the linker and the Go command have recorded in this program.
func ReadBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return buildOf(info, version, revision)
}

// Version is that of ReadBuild.
func Version() string { return ReadBuild().Version }

// String is the version with its revision, on one line.
func (b Build) String() string {
	if b.Revision == "" || strings.HasPrefix(b.Version, short(b.Revision)) {
		return b.Version
	}
	return fmt.Sprintf("%s (%s)", b.Version, short(b.Revision))
}

// buildOf prefers what the linker was given to what the Go command has recorded.
func buildOf(info *debug.BuildInfo, version, revision string) Build {
	b := Build{
		Version: info.Main.Version, GoVersion: info.GoVersion, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Schema: pb.SchemaVersion,
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	if revision != "" && revision != b.Revision {
		b.Revision, b.Time, b.Dirty = revision, "", false
	}
	b.Version = b.name(version)
	if b.Revision == "" {
		b.Note = "the build has no revision: go run, go install MODULE@VERSION and -buildvcs=false record none"
	}
	return b
}

// name is the version: what the linker was given, or the module's, or the commit.
func (b Build) name(given string) string {
	dirty := ""
	if b.Dirty {
		dirty = "+dirty"
	}
	switch {
	case given != "":
		return strings.TrimSuffix(given, "+dirty") + dirty
	// A checkout without a tag has a pseudo-version, which says no more than its commit.
	case strings.HasPrefix(b.Version, "v") && (b.Revision == "" || !strings.HasPrefix(b.Version, "v0.0.0-")):
		return b.Version
	case b.Revision != "":
		return short(b.Revision) + dirty
	}
	return "devel"
}

func short(revision string) string {
	const digits = 12
	return revision[:min(len(revision), digits)]
}
