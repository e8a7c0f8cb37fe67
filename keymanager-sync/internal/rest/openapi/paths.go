package openapi

import "strings"

// collection is what the paths of one kind differ in.
type collection struct {
	path, schema, one string
	filters           [][2]string
	verbs             []verb
	readOnly          bool
}

type verb struct {
	name, does string
	params     []string
}

func collections() []collection {
	search := [2]string{"q", "Text that the id or a name contains; case does not matter."}
	return []collection{
		{path: "issuers", schema: "Issuer", one: "an issuer", filters: [][2]string{
			{"issuer", "The exact `iss` of its tokens."}, search,
		}},
		{path: "apis", schema: "Api", one: "an Api", filters: [][2]string{
			{"status", "Portal state: CREATED, PUBLISHED, UNPUBLISHED or DEPRECATED."}, search,
		}, verbs: []verb{
			{name: "deploy", does: "Puts the current definition in force on the fleet and counts up the revision. Needs a published or deprecated plan."},
			{name: "start", does: "Serves a stopped Api again."},
			{name: "stop", does: "Answers 404 on every node until `start`."},
			{name: "publish", does: "Shows the Api in the portal."},
			{name: "unpublish", does: "Hides the Api from the portal."},
			{name: "deprecate", does: "Marks the Api as deprecated; it keeps serving."},
			{name: "rollback", does: "Deploys an earlier revision, as a new one.", params: []string{"revision"}},
		}},
		{path: "plans", schema: "Plan", one: "a plan", filters: [][2]string{
			{"api", "The id of its Api."},
			{"issuer", "The id of an issuer that the plan accepts."},
			{"status", "STAGING, PUBLISHED, DEPRECATED or CLOSED."},
			search,
		}, verbs: []verb{
			{name: "publish", does: "Opens the plan to subscriptions."},
			{name: "deprecate", does: "Takes no new subscriptions; those it has go on."},
			{name: "close", does: "Ends the plan and its subscriptions, for good."},
		}},
		{path: "applications", schema: "Application", one: "an application", filters: [][2]string{
			{"issuer", "The id of an issuer that knows it."},
			{"client_id", "One of its client ids."},
			search,
		}},
		{path: "subscriptions", schema: "Subscription", one: "a subscription", filters: [][2]string{
			{"application", "The id of its application."},
			{"plan", "The id of its plan."},
			{"api", "The id of its plan's Api."},
			{"status", "PENDING, ACCEPTED, REJECTED, PAUSED or CLOSED."},
			search,
		}, verbs: []verb{
			{name: "accept", does: "Lets the application call."},
			{name: "reject", does: "Turns the request down, for good."},
			{name: "pause", does: "Refuses the application's calls until `resume`."},
			{name: "resume", does: "Ends a pause."},
			{name: "close", does: "Ends the subscription, for good."},
		}},
		{path: "revocations", schema: "Revocation", one: "a revocation", filters: [][2]string{
			{"issuer", "The id of the issuer of the tokens."},
			{"client_id", "The client whose tokens are revoked."},
			search,
		}},
		{path: "key-sets", schema: "KeySet", one: "a key set", readOnly: true, filters: [][2]string{search}},
		{path: "deployments", schema: "Deployment", one: "a deployment", readOnly: true, filters: [][2]string{search}},
	}
}

func paths() object {
	out := object{}
	for _, c := range collections() {
		out = append(out, c.paths()...)
	}
	out = out.with("/v1/apis/{id}/deployment", object{{"get", operation{
		tag: "apis", id: "getApiDeployment", summary: "Read an Api as nodes serve it",
		params: []string{"id", "if_none_match", "min_sequence", "timeout"},
		ok:     object{{"200", resourceAnswer("Deployment", "The deployment.")}, {"304", notModified()}},
		errors: readErrors("404"),
	}.build()}})
	out = append(out, filePaths()...)
	return append(out, operationPaths()...)
}

func (c collection) paths() object {
	all := object{{"get", c.list()}}
	one := object{{"get", c.get()}}
	if !c.readOnly {
		all = all.with("post", c.create())
		one = one.with("put", c.replace()).with("delete", c.remove())
	}
	out := object{{"/v1/" + c.path, all}, {"/v1/" + c.path + "/{id}", one}}
	for _, v := range c.verbs {
		out = out.with("/v1/"+c.path+"/{id}/"+v.name, object{{"post", c.step(v)}})
	}
	return out
}

func (c collection) list() object {
	op := operation{
		tag: c.path, id: "list" + c.schema + "s", summary: "List " + c.path,
		params: []string{"limit", "after", "min_sequence", "timeout"},
		ok: object{{"200", object{
			{"description", "A page, in the order of ids."},
			{"headers", commonHeaders("sequence")},
			{"content", jsonContent(object{
				{"type", "object"},
				{"required", list{"items"}},
				{"properties", object{
					{"items", object{{"type", "array"}, {"items", ref("schemas", c.schema)}}},
					{"next", described(text(), "The `after` of the next page; absent on the last one. A page may hold fewer items than asked for, even none, and still have a next one.")},
				}},
				{"additionalProperties", false},
			})},
		}}},
		errors: readErrors(),
	}
	for _, f := range c.filters {
		op.inline = append(op.inline, query(f[0], f[1], text()))
	}
	return op.build()
}

func (c collection) get() object {
	return operation{
		tag: c.path, id: "get" + c.schema, summary: "Read " + c.one,
		params: []string{"id", "if_none_match", "min_sequence", "timeout"},
		ok:     object{{"200", resourceAnswer(c.schema, "The resource.")}, {"304", notModified()}},
		errors: readErrors("404"),
	}.build()
}

func (c collection) create() object {
	created := resourceAnswer(c.schema, "Created.")
	created[1].value = commonHeaders("sequence", "etag", "fleet", "location", "replayed")
	return operation{
		tag: c.path, id: "create" + c.schema, summary: "Create " + c.one,
		description: "An id is generated if the body has none.",
		params:      writeParams(),
		body:        resourceBody(c.schema),
		ok:          object{{"201", created}, {"202", pending(c.schema)}},
		errors:      bodyErrors("409"),
	}.build()
}

func (c collection) replace() object {
	return operation{
		tag: c.path, id: "put" + c.schema, summary: "Create or replace " + c.one,
		description: "What the body does not mention is reset to its default. Lifecycle fields are moved by verbs, and keep their state here.",
		params:      writeParams("id", "if_match", "if_none_match_write"),
		body:        resourceBody(c.schema),
		ok: object{
			{"200", resourceAnswer(c.schema, "Replaced, or the same already.")},
			{"201", resourceAnswer(c.schema, "Created.")},
			{"202", pending(c.schema)},
		},
		errors: bodyErrors("409", "412"),
	}.build()
}

func (c collection) remove() object {
	return operation{
		tag: c.path, id: "delete" + c.schema, summary: "Remove " + c.one,
		params: writeParams("id", "cascade", "if_match"),
		ok: object{
			{"204", object{{"description", "Removed."}, {"headers", commonHeaders("sequence", "fleet", "replayed")}}},
			{"202", object{{"description", "Removed, and not in force on every node."}, {"headers", commonHeaders("sequence", "fleet", "replayed")}}},
		},
		errors: writeErrors("404", "409", "412"),
	}.build()
}

func (c collection) step(v verb) object {
	return operation{
		tag: c.path, id: v.name + c.schema, summary: strings.ToUpper(v.name[:1]) + v.name[1:] + " " + c.one,
		description: v.does,
		params:      writeParams(append([]string{"id", "if_match"}, v.params...)...),
		ok: object{
			{"200", resourceAnswer(c.schema, "The resource after the step.")},
			{"202", pending(c.schema)},
		},
		errors: writeErrors("404", "409", "412"),
	}.build()
}

func filePaths() object {
	manifest := object{
		{"required", true},
		{"description", "Documents with `kind`, one or more. A resource is written whole: what a document leaves out gets its default."},
		{"content", object{
			{"application/yaml", object{{"schema", text()}}},
			{"application/json", object{{"schema", object{{"type", list{"object", "array"}}}}}},
			{"application/x-ndjson", object{{"schema", text()}}},
			{"multipart/form-data", object{{"schema", object{
				{"type", "object"},
				{"description", "Several files, applied together; errors tell which file they are in."},
				{"properties", object{{"file", object{{"type", "array"}, {"items", text()}}}}},
			}}}},
		}},
	}
	stream := object{
		{"required", true},
		{"description", "A YAML stream, JSON documents one after another (NDJSON), or a JSON array; of any size."},
		{"content", object{
			{"application/yaml", object{{"schema", text()}}},
			{"application/x-ndjson", object{{"schema", text()}}},
			{"application/json", object{{"schema", object{{"type", list{"object", "array"}}}}}},
		}},
	}
	applied := object{
		{"description", "What changed or, in a dry run, what would."},
		{"headers", commonHeaders("sequence", "fleet", "replayed")},
		{"content", jsonContent(ref("schemas", "Applied"))},
	}
	pendingApplied := object{
		{"description", "Durable, and not in force on every node."},
		{"headers", commonHeaders("sequence", "fleet", "replayed")},
		{"content", jsonContent(ref("schemas", "Applied"))},
	}
	return object{
		{"/v1/apply", object{{"post", operation{
			tag: "files", id: "apply", summary: "Make resources as a file says, all or none",
			description: "Lifecycle fields move to what the file says if legal steps lead there. What the file does not mention is left alone.",
			params:      writeParams("dry_run", "deploy"),
			body:        manifest,
			ok:          object{{"200", applied}, {"202", pendingApplied}},
			errors:      bodyErrors("409"),
		}.build()}}},
		{"/v1/import", object{{"post", operation{
			tag: "files", id: "import", summary: "Apply a body of any size, chunk by chunk",
			description: "Each chunk of at most 1,000 resources is one transaction. The status is 200 as soon as the body is being read: the last line of the answer tells how it ended. An import that broke off is repeated with the same id and the same body; chunks that the log holds are skipped.",
			params:      []string{"import_id", "idempotency_key", "deploy", "wait", "timeout"},
			body:        stream,
			ok: object{{"200", object{
				{"description", "Progress, one JSON document per line."},
				{"headers", commonHeaders()},
				{"content", object{{"application/x-ndjson", object{{"schema", ref("schemas", "ImportProgress")}}}}},
			}}},
			errors: []string{"400", "401", "415", "429", "500", "503"},
		}.build()}}},
	}
}
