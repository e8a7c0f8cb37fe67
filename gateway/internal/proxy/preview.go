package proxy

// Preview returns the path that an upstream would get, behind the path of its
// own URL and without the query.
func (u *Upstream) Preview(f *Forward) string {
	asked := *f
	asked.Query = nil
	return string(u.appendTarget(nil, &server{}, &asked))
}
