package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Formats of output.
const (
	Text = "table" // for people
	JSON = "json"
)

// Output is the flag -o of verbs that print data.
type Output struct {
	Format string `setting:"output" short:"o" use:"flag" value:"format" enum:"table,json" help:"table for people, or json"`
}

// JSON reports whether data is printed for programs.
func (o Output) JSON() bool { return o.Format == JSON }

// WriteJSON writes a value as one line of JSON.
func WriteJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

const (
	tableWidth = 100 // characters
	leastWidth = 8   // of a column that is shortened
	gap        = 2   // between columns
)

// Table is rows for people. No line is longer than 100 characters as long as the
// columns can be shortened: the widest give way first, and a value that was
// shortened ends in "…". The whole values are in the JSON.
type Table struct {
	rows [][]string
}

// NewTable makes a table with a head.
func NewTable(head ...string) *Table { return &Table{rows: [][]string{head}} }

// Row adds a row. Characters that would move the cursor of a terminal are shown as "?".
func (t *Table) Row(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = Printable(c)
	}
	t.rows = append(t.rows, row)
}

// Printable replaces what is not printable, which could move the cursor of a terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// Write writes the table.
func (t *Table) Write(w io.Writer) error {
	widths := t.widths()
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			cell = Shorten(cell, widths[i])
			line.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) widths() []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for {
		total, widest := -gap, 0
		for i, width := range widths {
			total += width + gap
			if width > widths[widest] {
				widest = i
			}
		}
		if total <= tableWidth || widths[widest] <= leastWidth {
			return widths
		}
		widths[widest]--
	}
}

// Shorten cuts a text to so many characters, the last of which is then "…".
func Shorten(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
