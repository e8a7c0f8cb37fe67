package openapi

// operation is one method of one path before it is written out.
type operation struct {
	tag, id, summary, description string
	params                        []string // of components
	inline                        []object
	body                          object
	ok                            object
	errors                        []string
	security                      list
	open                          bool
}

func (op operation) build() object {
	out := object{{"tags", list{op.tag}}, {"operationId", op.id}, {"summary", op.summary}}
	if op.description != "" {
		out = out.with("description", op.description)
	}
	params := list{}
	for _, p := range op.params {
		params = append(params, ref("parameters", p))
	}
	for _, p := range op.inline {
		params = append(params, p)
	}
	if len(params) > 0 {
		out = out.with("parameters", params)
	}
	if op.body != nil {
		out = out.with("requestBody", op.body)
	}
	if op.open {
		out = out.with("security", list{})
	} else if op.security != nil {
		out = out.with("security", op.security)
	}
	answers := op.ok
	for _, status := range op.errors {
		answers = answers.with(status, ref("responses", errorResponse(status)))
	}
	return out.with("responses", answers)
}

func errorResponse(status string) string {
	switch status {
	case "400":
		return "bad_request"
	case "401":
		return "unauthorized"
	case "404":
		return "not_found"
	case "409":
		return "conflict"
	case "412":
		return "precondition_failed"
	case "413":
		return "too_large"
	case "415":
		return "unsupported_media_type"
	case "422":
		return "invalid"
	case "429":
		return "too_many_requests"
	case "503":
		return "unavailable"
	case "504":
		return "timeout"
	}
	return "internal"
}

func readErrors(more ...string) []string {
	return append([]string{"400", "401"}, append(more, "429", "500", "504")...)
}

func writeErrors(more ...string) []string {
	return append([]string{"400", "401"}, append(more, "422", "429", "500", "503")...)
}

func bodyErrors(more ...string) []string {
	return append([]string{"400", "401"}, append(more, "413", "415", "422", "429", "500", "503")...)
}

func writeParams(more ...string) []string {
	return append(more, "idempotency_key", "wait", "timeout")
}

func resourceBody(schema string) object {
	return object{
		{"required", true},
		{"description", "In YAML the member `kind` must be there."},
		{"content", object{
			{"application/json", object{{"schema", ref("schemas", schema)}}},
			{"application/yaml", object{{"schema", ref("schemas", schema)}}},
		}},
	}
}

func resourceAnswer(schema, description string) object {
	return object{
		{"description", description},
		{"headers", commonHeaders("sequence", "etag", "fleet", "replayed")},
		{"content", jsonContent(ref("schemas", schema))},
	}
}

func pending(schema string) object {
	return resourceAnswer(schema, "The write is durable, and not in force on every node; Portcullis-Fleet names the nodes that are behind, and those that could not put it in force.")
}

func notModified() object {
	return object{{"description", "Your copy is current."}, {"headers", commonHeaders("sequence", "etag")}}
}

func jsonContent(schema object) object {
	return object{{"application/json", object{{"schema", schema}}}}
}

func commonHeaders(names ...string) object {
	known := map[string]string{
		"sequence": "Portcullis-Sequence", "etag": "ETag", "fleet": "Portcullis-Fleet",
		"location": "Location", "replayed": "Idempotency-Replayed", "retry_after": "Retry-After",
	}
	out := object{{"X-Request-Id", ref("headers", "request_id")}}
	for _, name := range names {
		out = out.with(known[name], ref("headers", name))
	}
	return out
}

func operationPaths() object {
	plain := func(id, summary, description, contentType string, more ...member) object {
		return object{{"get", operation{
			tag: "operations", id: id, summary: summary, open: true,
			ok: append(object{{"200", object{
				{"description", description},
				{"content", object{{contentType, object{{"schema", text()}}}}},
			}}}, more...),
		}.build()}}
	}
	notReady := member{"503", object{
		{"description", "Not ready; the body says why."},
		{"content", object{{"text/plain", object{{"schema", text()}}}}},
	}}
	return object{
		{"/v1/snapshot", object{{"get", snapshotOperation()}}},
		{"/v1/fleet", object{{"get", operation{
			tag: "fleet", id: "getFleet", summary: "Read who is out there, and where each stands",
			ok: object{{"200", object{
				{"description", "Nodes and replicas heard of in the last ten minutes, without nodes that were stopped in good order."},
				{"headers", commonHeaders("sequence")},
				{"content", jsonContent(ref("schemas", "Fleet"))},
			}}},
			errors: []string{"400", "401", "429", "500"},
		}.build()}}},
		{"/openapi.yaml", plain("getOpenapi", "Read this document", "OpenAPI 3.1.", "application/yaml")},
		{"/healthz", plain("getHealth", "Tell whether the process lives", "It does.", "text/plain")},
		{"/readyz", plain("getReady", "Tell whether the replica is ready", "Reads are current and writes are taken.", "text/plain", notReady)},
		{"/metrics", plain("getMetrics", "Read metrics", "Prometheus text.", "text/plain")},
	}
}

func snapshotOperation() object {
	return operation{
		tag: "fleet", id: "getSnapshot", summary: "Read the whole state at one sequence",
		description: "What a node starts from before it follows the log.",
		params:      []string{"if_none_match"},
		security:    list{object{{"admin", list{}}}, object{{"node", list{}}}},
		ok: object{
			{"200", object{
				{"description", "A snapshot header, changes and a trailer, compressed with zstd."},
				{"headers", commonHeaders("sequence", "etag")},
				{"content", object{{"application/vnd.portcullis.snapshot", object{{"schema", object{}}}}}},
			}},
			{"304", notModified()},
		},
		errors: []string{"400", "401", "429", "500", "503"},
	}.build()
}

func fleetSchemas() object {
	return object{
		{"Fleet", object{
			{"type", "object"},
			{"required", list{"epoch", "sequence", "nodes", "replicas"}},
			{"properties", object{
				{"epoch", described(number(), "Of the log.")},
				{"sequence", described(number(), "That the answering replica stands at.")},
				{"phase", described(text(), "What the answering replica is doing: OPENING, LOADING, LIVE or HOLD.")},
				{"reason", described(text(), "Why it is not LIVE.")},
				{"nodes", object{{"type", "array"}, {"items", ref("schemas", "Node")}}},
				{"replicas", object{{"type", "array"}, {"items", ref("schemas", "Replica")}}},
			}},
			{"additionalProperties", false},
		}},
		{"Node", nodeSchema()},
		{"Replica", object{
			{"type", "object"},
			{"required", list{"id", "live", "sequence"}},
			{"properties", object{
				{"id", text()},
				{"live", described(object{{"type", "boolean"}}, "Heard within the last 5 seconds.")},
				{"self", described(object{{"type", "boolean"}}, "The answering replica.")},
				{"diverged", described(object{{"type", "boolean"}}, "It showed another state at a sequence that the answering replica knows.")},
				{"writable", described(object{{"type", "boolean"}}, "It takes writes, and may be the one that fetches key sets.")},
				{"epoch", number()},
				{"sequence", number()},
				{"set_hash", text()},
				{"seen", object{{"type", "string"}, {"format", "date-time"}}},
			}},
			{"additionalProperties", false},
		}},
	}
}

func nodeSchema() object {
	instant := object{{"type", "string"}, {"format", "date-time"}}
	return object{
		{"type", "object"},
		{"required", list{"id", "live", "state", "sequence"}},
		{"properties", object{
			{"id", text()},
			{"version", text()},
			{"live", described(object{{"type", "boolean"}}, "Heard within the last 5 seconds.")},
			{"state", object{{"type", "string"}, {"enum", list{"LOADING", "LIVE", "STALE", "RESYNC", "DRAINING"}}}},
			{"epoch", number()},
			{"sequence", described(number(), "The last that it has applied.")},
			{"lag", described(number(), "Entries that it is behind the answering replica.")},
			{"other_epoch", described(object{{"type", "boolean"}}, "It follows another log, so lag says nothing.")},
			{"duplicate", described(object{{"type", "boolean"}}, "Several processes use this id at the same time; the one heard last is shown, and wait=fleet waits for all of them. Give each node an id of its own.")},
			{"seen", instant},
			{"started_at", instant},
			{"requests", described(number(), "Since it started.")},
			{"denials", described(number(), "Since it started.")},
			{"resyncs", described(number(), "Since it started.")},
			{"rejects", described(object{{"type", "array"}, {"items", object{
				{"type", "object"},
				{"properties", object{{"kind", text()}, {"id", text()}, {"sequence", number()}, {"reason", text()}}},
				{"additionalProperties", false},
			}}}, "The newest, at most 20, of the resources that it could not put in force, with the reason.")},
			{"reject_count", described(number(), "Resources that it could not put in force; absent: none.")},
			{"schema", described(number(), "The version of the resource schema that it knows.")},
		}},
		{"additionalProperties", false},
	}
}
