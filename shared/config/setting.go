package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

// setting is one field of a program's settings. It implements pflag.Value by
// keeping what the command line says, so that all faults can be reported together.
type setting struct {
	name, short, help string
	secret            bool
	use               string   // where it can be set: useFlag, useEnvironment, or empty: everywhere
	whole             bool     // elements of a list are not split at commas
	value             string   // the name of its value in the usage text; empty: its type
	enum              []string // the only values; empty: any
	optional          bool     // of an enum: it may be empty, as its default is
	rule              string   // see the tag check
	least, most       string   // bounds, as they are written; empty: none
	field             reflect.Value
	flagTexts         []string
	// texts are what the strongest source says.
	texts  []string
	source origin
	faulty bool
}

// describe lists the settings of a pointer to a struct, in the order of its fields.
func describe(cfg any) []*setting {
	v := reflect.ValueOf(cfg)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("BUG: settings are a pointer to a struct, not %T", cfg))
	}
	return describeFields(v.Elem(), nil)
}

func describeFields(v reflect.Value, settings []*setting) []*setting {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("setting")
		if name == "" || name == "-" {
			if name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct {
				settings = describeFields(v.Field(i), settings)
			}
			continue // not a setting: filled by the program itself
		}
		s := newSetting(f.Tag, v.Field(i))
		if !s.supported() {
			panic(fmt.Sprintf("BUG: setting %s has the type %s", name, f.Type))
		}
		settings = append(settings, s)
	}
	return settings
}

// Values of the tag use.
const (
	useFlag        = "flag"
	useEnvironment = "environment"
)

func newSetting(tag reflect.StructTag, field reflect.Value) *setting {
	s := &setting{
		name: tag.Get("setting"), short: tag.Get("short"), help: tag.Get("help"), secret: tag.Get("secret") == "true",
		use: tag.Get("use"), whole: tag.Get("elements") == "whole", value: tag.Get("value"),
		rule: tag.Get("check"), least: tag.Get("min"), most: tag.Get("max"),
		field: field, source: origin{name: "default"},
	}
	if values := tag.Get("enum"); values != "" {
		s.enum = strings.Split(values, ",")
		s.optional = field.Kind() == reflect.String && field.String() == ""
	}
	return s
}

func (s *setting) isBool() bool { return s.field.Kind() == reflect.Bool }

func (s *setting) isList() bool { return s.field.Kind() == reflect.Slice }

func (s *setting) supported() bool {
	if _, ok := reflect.TypeAssert[encoding.TextUnmarshaler](s.field.Addr()); ok {
		return true
	}
	switch s.field.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Slice:
		return s.field.Type().Elem().Kind() == reflect.String
	default:
		return false
	}
}

// Set keeps what the command line says; it is judged by resolve.
func (s *setting) Set(text string) error {
	s.flagTexts = append(s.flagTexts, text)
	return nil
}

// Type is the value's name in the usage text.
func (s *setting) Type() string {
	if s.value != "" {
		return s.value
	}
	return s.kind()
}

// kind is the value's type in a word.
func (s *setting) kind() string {
	switch s.field.Interface().(type) {
	case time.Duration:
		return "duration"
	case Size:
		return "size"
	case Share:
		return "share"
	case []string:
		return "list"
	}
	switch s.field.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "string"
	default:
		return "number"
	}
}

// usage is the line of the help text. The default is written here, because
// pflag knows its own types only.
func (s *setting) usage() string {
	text := s.show()
	if text == "" || s.secret || s.use == useFlag && s.field.IsZero() {
		return s.help
	}
	return s.help + " (default " + text + ")"
}

// String is empty, which tells pflag that usage has the default.
func (s *setting) String() string { return "" }

// take keeps what a source says; later calls are of stronger sources.
func (s *setting) take(source origin, texts ...string) {
	s.source, s.texts = source, texts
}

// resolve turns the strongest source's text into the field's value.
func (s *setting) resolve(faults *fault.List) {
	if s.texts == nil {
		return
	}
	if err := s.parse(); err != nil {
		s.faulty = true
		message := err.Error()
		if text := s.texts[len(s.texts)-1]; !s.secret {
			message = strconv.Quote(mask.URL(text)) + ": " + message
		}
		*faults = append(*faults, s.source.fault(s.name, message, s.form()))
	}
}

// form is the cure for a text that cannot be read.
func (s *setting) form() string {
	switch s.kind() {
	case "duration":
		return "write a number with its unit: 500ms, 90s, 24h, 7d"
	case "size":
		return "write bytes, or KiB, MiB, GiB: 512, 64KiB, 10MiB"
	case "share":
		return "write a fraction between 0 and 1: 0.01"
	case "bool":
		return "write true or false"
	case "list":
		return "separate the elements by single commas"
	default:
		return ""
	}
}

// Faults of texts.
var (
	errNotABool     = errors.New("not a bool")
	errNotANumber   = errors.New("not a whole number")
	errOutOfRange   = errors.New("out of range")
	errNotADuration = errors.New("not a duration")
	errNotASize     = errors.New("not a size")
	errNotAShare    = errors.New("not a share")
	errEmptyElement = errors.New("an element of the list is empty")
)

func (s *setting) parse() error {
	if s.isList() {
		return s.parseList()
	}
	text := s.texts[len(s.texts)-1]
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](s.field.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	if _, ok := reflect.TypeAssert[time.Duration](s.field); ok {
		d, err := parseDuration(text)
		if err == nil {
			s.field.SetInt(int64(d))
		}
		return err
	}
	switch s.field.Kind() {
	case reflect.String:
		s.field.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errNotABool
		}
		s.field.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, s.field.Type().Bits())
		if err != nil {
			return numberFault(err)
		}
		s.field.SetInt(n)
	default:
		n, err := strconv.ParseUint(text, 10, s.field.Type().Bits())
		if err != nil {
			return numberFault(err)
		}
		s.field.SetUint(n)
	}
	return nil
}

func numberFault(err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return errOutOfRange
	}
	return errNotANumber
}

func (s *setting) parseList() error {
	list := []string{}
	for _, text := range s.texts {
		if strings.TrimSpace(text) == "" {
			continue
		}
		if s.whole {
			list = append(list, text)
			continue
		}
		for element := range strings.SplitSeq(text, ",") {
			if element = strings.TrimSpace(element); element == "" {
				return errEmptyElement
			}
			list = append(list, element)
		}
	}
	s.field.Set(reflect.ValueOf(list).Convert(s.field.Type()))
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 64)
		if err != nil {
			return 0, errNotADuration
		}
		if n > uint64(math.MaxInt64/(24*time.Hour)) {
			return 0, errOutOfRange
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errNotADuration
	}
	return d, nil
}

// show is the value as it can be written on the command line; empty: none.
func (s *setting) show() string {
	switch v := s.field.Interface().(type) {
	case time.Duration:
		if v == 0 {
			return "0s"
		}
		text := v.String()
		for _, zero := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(text, zero) {
				text = text[:len(text)-2]
			}
		}
		return text
	case []string:
		return strings.Join(v, ",")
	default:
		return fmt.Sprint(v)
	}
}

// yaml is the value as it can be written in a file.
func (s *setting) yaml() string {
	if s.secret {
		if s.field.IsZero() {
			return `""`
		}
		return strconv.Quote(mask.Secret)
	}
	switch s.kind() {
	case "string":
		return strconv.Quote(mask.URL(s.show()))
	case "list":
		quoted := s.masked()
		for i := range quoted {
			quoted[i] = strconv.Quote(quoted[i])
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	default:
		return s.show()
	}
}

// Size is a number of bytes, written 512, 64KiB, 10MiB or 1GiB.
type Size uint64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	digits, factor := string(text), uint64(1)
	for name, size := range map[string]uint64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if head, ok := strings.CutSuffix(digits, name); ok {
			digits, factor = head, size
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if errors.Is(err, strconv.ErrRange) || (err == nil && n > math.MaxUint64/factor) {
		return errOutOfRange
	}
	if err != nil {
		return errNotASize
	}
	*s = Size(n * factor)
	return nil
}

// String writes the largest unit that leaves no fraction.
func (s Size) String() string {
	switch {
	case s > 0 && s%(1<<30) == 0:
		return fmt.Sprintf("%dGiB", s>>30)
	case s > 0 && s%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", s>>20)
	case s > 0 && s%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", s>>10)
	}
	return strconv.FormatUint(uint64(s), 10)
}

// Share is a part of a whole, between 0 and 1.
type Share float64

// UnmarshalText reads a share: a decimal fraction.
func (s *Share) UnmarshalText(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(0 <= f && f <= 1) || strings.ContainsAny(string(text), "xXpP_") {
		return errNotAShare
	}
	*s = Share(f)
	return nil
}

// String writes a share so that it can be read again.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'f', -1, 64) }
