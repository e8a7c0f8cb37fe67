package openapi

// maxWait is the longest time a request may ask to wait, in words.
const maxWait = "1m"

func parameters() object {
	return object{
		{"id", object{
			{"name", "id"},
			{"in", "path"},
			{"required", true},
			{"description", "The resource's id."},
			{"schema", object{{"type", "string"}, {"pattern", `^[a-z0-9._-]{1,128}$`}}},
		}},
		{"limit", query("limit", "Greatest number of items in the answer.",
			object{{"type", "integer"}, {"minimum", 1}, {"maximum", 1000}, {"default", 100}})},
		{"after", query("after", "The `next` of the page before. Items come in the order of their ids.", text())},
		{"min_sequence", query("min_sequence",
			"Answer only when this replica stands at this sequence of the log or later; after `timeout` the answer is 504.",
			object{{"type", "integer"}, {"minimum", 0}})},
		{"timeout", query("timeout", "Greatest time to wait, with wait or min_sequence. At most "+maxWait+".",
			object{{"type", "string"}, {"default", "5s"}, {"examples", list{"500ms", "5s"}}})},
		{"wait", query("wait",
			"`fleet`: answer when every live node has applied the write. After `timeout` the answer is 202; the write itself is durable in either case.",
			object{{"type", "string"}, {"enum", list{"fleet"}}})},
		{"cascade", query("cascade", "Remove what refers to the resource, too.", flag(false))},
		{"dry_run", query("dry_run", "Change nothing; tell what would change.", flag(false))},
		{"deploy", query("deploy", "Put every Api that is touched in force.", flag(true))},
		{"revision", query("revision", "The revision to roll back to; absent: the one before the present one.",
			object{{"type", "integer"}, {"minimum", 1}})},
		{"import_id", query("id", "The import's name. The same name goes on where an earlier attempt stopped. Absent: made from Idempotency-Key, or at random.",
			object{{"type", "string"}, {"pattern", `^[A-Za-z0-9._-]{1,64}$`}})},
		{"if_match", header("If-Match",
			"One or more ETags: the write is refused with 412 unless the resource is at one of these versions. "+
				"A bare version number in quotes, as in `\"7\"`, is accepted too, and means that version whenever the resource was made. `*`: it must exist.")},
		{"if_none_match_write", header("If-None-Match", "`*`: create only; 412 if the resource exists.")},
		{"if_none_match", header("If-None-Match", "The ETag of a copy you have: 304 if it is still current.")},
		{"idempotency_key", object{
			{"name", "Idempotency-Key"},
			{"in", "header"},
			{"description", "A command with a key that the log already holds is not carried out again; the answer tells its place in the log."},
			{"schema", object{{"type", "string"}, {"minLength", 1}, {"maxLength", 128}}},
		}},
	}
}

func headers() object {
	return object{
		{"sequence", object{
			{"description", "On a write: its place in the log. On a read: the sequence that the answer is exact at."},
			{"schema", object{{"type", "integer"}, {"minimum", 0}}},
		}},
		{"etag", object{{"description", "The resource's version and when it was made, in quotes, as in `\"7-t5ve0h\"`: a resource that was removed and made anew has another."}, {"schema", text()}}},
		{"fleet", object{
			{"description", "With wait=fleet: `in_force; nodes=3`, or `pending; applied=2; behind=gw-3`, or `not_in_force; applied=2; failed=gw-3` where a node reached the change and could not put it in force. Then may follow `; silent=gw-4` (belongs to the fleet, is not heard and not waited for), `; duplicate=gw-1` (an id that several processes use; all of them count) and, with failed, `; reason=\"gw-3: plan/gold: ...\"`. With no live node and a silent one the word is `pending`; `in_force; nodes=0` means that no node belongs to the fleet."},
			{"schema", text()},
		}},
		{"request_id", object{{"description", "Names the request in the log of the process."}, {"schema", text()}}},
		{"retry_after", object{{"description", "Seconds to wait."}, {"schema", object{{"type", "integer"}, {"minimum", 0}}}}},
		{"location", object{{"description", "The address of the resource."}, {"schema", text()}}},
		{"challenge", object{{"description", "RFC 6750."}, {"schema", text()}}},
		{"allow", object{{"description", "The methods that this address knows."}, {"schema", text()}}},
		{"replayed", object{
			{"description", "`true`: the log already held this Idempotency-Key, and nothing was done again."},
			{"schema", object{{"type", "string"}, {"enum", list{"true"}}}},
		}},
	}
}

func responses() object {
	return object{
		{"bad_request", problem("A parameter or header is wrong; `detail` names it and, if it is unknown, the nearest known one.")},
		{"unauthorized", problem("No valid token.").with("headers", object{
			{"WWW-Authenticate", ref("headers", "challenge")},
		})},
		{"not_found", problem("There is nothing at this address.")},
		{"method_not_allowed", problem("This address does not know the method.").with("headers", object{
			{"Allow", ref("headers", "allow")},
		})},
		{"conflict", problem("The state does not allow it: the id exists, something unique is taken, other resources refer to it, or the lifecycle has no such step from here. `errors` tells which, and what is possible.")},
		{"precondition_failed", problem("If-Match or If-None-Match does not hold.")},
		{"too_large", problem("The body exceeds 8 MiB. Use import for more.")},
		{"unsupported_media_type", problem("The body is neither JSON nor YAML.")},
		{"invalid", problem("The body breaks a rule of the schema, or refers to what does not exist. `errors` has every fault.")},
		{"too_many_requests", problem("Too many requests without a valid token from this address.").with("headers", object{
			{"Retry-After", ref("headers", "retry_after")},
		})},
		{"unavailable", problem("The log cannot be reached, or too many are asking at once. Nothing was changed unless `detail` says otherwise.").with("headers", object{
			{"Retry-After", ref("headers", "retry_after")},
		})},
		{"timeout", problem("The replica did not reach min_sequence in time.")},
		{"internal", problem("A fault of the control plane. Its log has the cause under the X-Request-Id of this answer.")},
	}
}

func problem(description string) object {
	return object{
		{"description", description},
		{"content", object{{"application/problem+json", object{{"schema", ref("schemas", "Problem")}}}}},
	}
}

func query(name, description string, schema object) object {
	return object{{"name", name}, {"in", "query"}, {"description", description}, {"schema", schema}}
}

func header(name, description string) object {
	return object{{"name", name}, {"in", "header"}, {"description", description}, {"schema", text()}}
}

func text() object { return object{{"type", "string"}} }

func flag(byDefault bool) object {
	return object{{"type", "boolean"}, {"default", byDefault}}
}
