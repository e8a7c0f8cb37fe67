package openapi

// ownSchemas are the bodies that are not resources.
func ownSchemas() object {
	return append(problemSchemas(), append(fileSchemas(), fleetSchemas()...)...)
}

func problemSchemas() object {
	return object{
		{"Problem", object{
			{"type", "object"},
			{"description", "RFC 9457."},
			{"required", list{"type", "title", "status"}},
			{"properties", object{
				{"type", described(text(), "Ends in a stable word for the sort of problem: urn:portcullis:problem:conflict.")},
				{"title", text()},
				{"status", number()},
				{"detail", text()},
				{"errors", object{{"type", "array"}, {"items", ref("schemas", "Fault")}}},
			}},
			{"additionalProperties", false},
		}},
		{"Fault", object{
			{"type", "object"},
			{"description", "One thing that is wrong with the request."},
			{"required", list{"message"}},
			{"properties", object{
				{"file", text()},
				{"line", described(number(), "Counts from 1.")},
				{"column", described(number(), "Counts from 1.")},
				{"kind", text()},
				{"id", text()},
				{"field", described(text(), "A path, as in upstream.targets[0].url.")},
				{"code", described(text(), "invalid, not_found, exists, conflict, dangling_reference, in_use or lifecycle.")},
				{"message", text()},
				{"hint", described(text(), "The cure, if there is an obvious one.")},
			}},
			{"additionalProperties", false},
		}},
	}
}

func fileSchemas() object {
	return object{
		{"Applied", object{
			{"type", "object"},
			{"required", list{"changes", "text"}},
			{"properties", object{
				{"changes", object{{"type", "array"}, {"items", ref("schemas", "Difference")}}},
				{"notes", object{{"type", "array"}, {"items", object{
					{"type", "object"},
					{"required", list{"ref", "text"}},
					{"properties", object{{"ref", text()}, {"text", text()}}},
					{"additionalProperties", false},
				}}, {"description", "What is no fault, but worth knowing."}}},
				{"text", described(text(), "The same for people, one line per field.")},
			}},
			{"additionalProperties", false},
		}},
		{"Difference", object{
			{"type", "object"},
			{"required", list{"ref", "action"}},
			{"properties", object{
				{"ref", described(text(), "As in plan/gold.")},
				{"action", object{{"type", "string"}, {"enum", list{"create", "update", "delete", "unchanged"}}}},
				{"fields", object{{"type", "array"}, {"items", object{
					{"type", "object"},
					{"required", list{"path"}},
					{"properties", object{
						{"path", text()},
						{"from", described(object{}, "Absent: was not set.")},
						{"to", described(object{}, "Absent: is not set any more.")},
					}},
					{"additionalProperties", false},
				}}}},
			}},
			{"additionalProperties", false},
		}},
		{"ImportProgress", object{
			{"type", "object"},
			{"description", "One line of the answer. The last one has done or error."},
			{"properties", object{
				{"id", described(text(), "The import's name.")},
				{"chunk", described(number(), "The chunk that was just dealt with; counts from 1.")},
				{"resources", described(number(), "Resources read so far, this chunk included.")},
				{"bytes", described(number(), "Bytes read so far.")},
				{"skipped", described(object{{"type", "boolean"}}, "The log already held this chunk.")},
				{"sequence", described(number(), "The last chunk's place in the log.")},
				{"done", object{{"type", "boolean"}}},
				{"chunks", described(number(), "With done: how many there were.")},
				{"fleet", described(text(), "With done and wait=fleet: as the header Portcullis-Fleet.")},
				{"error", described(text(), "Why the import ended early. Nothing of the chunk that it names was applied.")},
				{"status", described(number(), "With error: the status it would have had as an answer of its own; from 500 on, trying again may help.")},
				{"line", described(number(), "With error: where in the body.")},
				{"errors", object{{"type", "array"}, {"items", ref("schemas", "Fault")}}},
				{"resume_with", described(text(), "With error: the query to send the corrected body with; chunks already applied are skipped.")},
			}},
			{"additionalProperties", false},
		}},
	}
}

func described(schema object, description string) object {
	return schema.with("description", description)
}

func number() object { return object{{"type", "integer"}, {"minimum", 0}} }
