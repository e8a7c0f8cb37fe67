package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/cli"
)

// table shows resources of one kind, one in a line.
type table struct {
	columns []string // names of fields in JSON
	rows    *cli.Table
}

// newTable makes the table of a collection.
func newTable(collection string) *table {
	columns := append([]string{"id"}, columnsOf(collection)...)
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = strings.ToUpper(strings.ReplaceAll(c, "_", " "))
	}
	return &table{columns: columns, rows: cli.NewTable(head...)}
}

// columnsOf are the fields that people look for first, besides the id.
func columnsOf(collection string) []string {
	switch collection {
	case "issuers":
		return []string{"issuer", "name"}
	case "apis":
		return []string{"context_path", "hosts", "visibility", "portal_state", "revision", "out_of_sync"}
	case "plans":
		return []string{"api", "security", "status", "auto_accept", "name"}
	case "applications":
		return []string{"name", "owner"}
	case "subscriptions":
		return []string{"application", "plan", "status", "ends_at"}
	case "revocations":
		return []string{"issuer", "jti", "token_sha256", "client_id", "subject", "expires_at"}
	case "deployments":
		return []string{"revision", "stopped"}
	}
	return nil
}

// add takes a resource as JSON.
func (t *table) add(text []byte) error {
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	cells := make([]string, len(t.columns))
	for i, c := range t.columns {
		cells[i] = cell(fields[c])
	}
	t.rows.Row(cells...)
	return nil
}

// cell shows a value; "-" stands for none.
func cell(value any) string {
	switch v := value.(type) {
	case nil:
		return "-"
	case []any:
		parts := make([]string, len(v))
		for i, element := range v {
			parts[i] = cell(element)
		}
		return strings.Join(parts, ",")
	case bool:
		return yesNo(v)
	default:
		return fmt.Sprint(v)
	}
}

// Write writes what was added.
func (t *table) Write(w io.Writer) error { return t.rows.Write(w) }
