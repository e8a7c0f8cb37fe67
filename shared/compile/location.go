// Package compile turns definitions (issuers, Apis and their plans) into the form
// that requests are decided with. What compiles is what may be accepted: the
// control plane and every node use the same functions, so no definition passes the
// one and fails the other. It knows no transport.
package compile

// Location says where in a request a credential is. Exactly one of its names is
// set; the zero Location is nowhere.
type Location struct {
	// Header is a field's name in canonical form; the credential is in its value.
	Header string
	// Query is a query parameter's decoded name.
	Query string
	// Cookie is a cookie's name.
	Cookie string
}
