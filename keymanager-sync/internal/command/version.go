package command

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// madeBase is the base in which a version's text has its second part.
const madeBase = 36

// Version distinguishes a content of a resource from every other that it ever had.
// The number alone does not: it starts at 1 again when a resource is removed and
// created again.
type Version struct {
	// Number counts the resource's changes from 1.
	Number uint64
	// Made is when the resource was made, in seconds since 1970; 0, in what is asked
	// for: whenever.
	Made int64
}

// VersionOf is a record's version.
func VersionOf(record catalog.Record) Version {
	c := new(pb.Change)
	if proto.Unmarshal([]byte(record.Raw()), c) != nil { // the fold lets only decodable changes in
		return Version{Number: record.Version()}
	}
	return Version{Number: record.Version(), Made: c.GetCreatedAt()}
}

// String is "7-sk3f1c": the number, and when the resource was made; without that, "7".
func (v Version) String() string {
	number := strconv.FormatUint(v.Number, 10)
	if v.Made == 0 {
		return number
	}
	return number + "-" + strconv.FormatInt(v.Made, madeBase)
}

// ParseVersion reads what String writes.
func ParseVersion(text string) (Version, bool) {
	number, made, both := strings.Cut(text, "-")
	var v Version
	var err error
	if v.Number, err = strconv.ParseUint(number, 10, 64); err != nil || v.Number == 0 {
		return Version{}, false
	}
	if !both {
		return v, true
	}
	if v.Made, err = strconv.ParseInt(made, madeBase, 64); err != nil || v.Made <= 0 {
		return Version{}, false
	}
	return v, true
}

// is reports whether this present version is the one that is asked for.
func (v Version) is(asked Version) bool {
	return v.Number == asked.Number && (asked.Made == 0 || asked.Made == v.Made)
}
