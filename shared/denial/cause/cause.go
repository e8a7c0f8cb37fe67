// Package cause names why a request was refused, finer than the reason that a
// client is told: a client with a bad token hears invalid_token, an operator that
// its audience is another. A Cause holds nothing of the request, and there are few
// of them: they go into logs, metrics and explanations.
package cause

// Cause is why a request was refused. The zero Cause is Unspecified.
type Cause uint8

// Unspecified is none. No refusal has it: a test looks for those that would.
const Unspecified Cause = 0

// The causes; what each means stands in the table below. Their words, which String
// returns, are stable: dashboards and alerts name them.
const (
	// Of the request itself.

	HTTPVersion Cause = iota + 1
	Unreadable
	HeaderSection
	HeaderTooLarge
	HeaderTimeout
	Framing
	Expectation
	MethodNeverServed
	Target
	Host
	CertificateField
	ConnectionField
	BodyTooLarge
	BodyTimeout
	BodyBroken

	// Of the Api.

	NoRoute
	APIStopped
	NotInForce
	NotReady
	PageMethod

	// Of the credential, before it is looked into.

	CredentialMissing
	CredentialAmbiguous
	CredentialMalformed
	CredentialUnreadable
	NoPlan

	// Of the token's form.

	TooLong
	Encrypted
	Malformed
	Opaque
	ClaimMalformed
	HeaderExtension
	Algorithm
	Type
	TokenKind
	Profile

	// Of the token's issuer, key and dates.

	IssuerUnknown
	IssuerUntrusted
	IssuerMismatch
	IssuerAmbiguous
	Tenant
	IssuerNotInForce
	Audience
	PlanAudience
	Expired
	NoExpiry
	NotYetValid
	IssuedInFuture
	Lifetime
	KeyUnknown
	KeyOutdated
	KeyIssuer
	KeysUnavailable
	Signature
	Revoked

	// Of introspection.

	Inactive
	IntrospectionOff
	IntrospectionUnreachable
	IntrospectionTimeout
	IntrospectionStatus
	IntrospectionUnauthorized
	IntrospectionAnswer
	IntrospectionUndiscovered
	IntrospectionBusy
	IntrospectionCircuit

	// Of what the token is bound to.

	Binding
	BindingUnwanted
	BindingMissing
	BindingCertificate
	BindingScheme
	ProofMissing
	ProofRepeated
	ProofMalformed
	ProofType
	ProofAlgorithm
	ProofKey
	ProofClaims
	ProofThumbprint
	ProofToken
	ProofMethod
	ProofURL
	ProofTime
	ProofSignature
	ProofReplayed
	ProofMemory
	ProofShare

	// Of keys and certificates of applications.

	APIKeyUnknown
	APIKeyExpired
	CertificateDates
	CertificateUnknown
	CertificateExpired
	CertificateUntrusted

	// Of what the caller may do.

	ApplicationUnknown
	SubscriptionMissing
	SubscriptionUnlisted
	SubscriptionPending
	SubscriptionPaused
	SubscriptionNotBegun
	SubscriptionEnded
	NoSandbox
	Scope
	ClaimRule
	ResourceFiltered
	MethodFiltered
	LimitRate
	LimitQuota
	LimitSpike

	// Of the upstream.

	UpstreamConnect
	UpstreamConnectTimeout
	UpstreamBusy
	UpstreamSend
	UpstreamSendTimeout
	UpstreamAnswer
	UpstreamAnswerTimeout

	// Of the gateway.

	Signing
	Panic
	Internal

	// Count is above every Cause.
	Count
)

// String returns the word of a cause, such as "audience".
func (c Cause) String() string {
	if int(c) >= len(texts) {
		c = Unspecified
	}
	return texts[c].word
}

// Meaning says in a few words what a cause means. It is for operators, not for clients.
func (c Cause) Meaning() string {
	if int(c) >= len(texts) {
		c = Unspecified
	}
	return texts[c].meaning
}

//nolint:gochecknoglobals // a constant table
var texts = [Count]struct{ word, meaning string }{
	Unspecified: {"unspecified", "the gateway does not say why"},

	HTTPVersion:       {"http_version", "the protocol is neither HTTP/1.0 nor HTTP/1.1"},
	Unreadable:        {"unreadable", "what came is no HTTP request"},
	HeaderSection:     {"header_section", "the header section breaks RFC 9112: a folded line, a blank before a colon, a line without CRLF, a name that is no token"},
	HeaderTooLarge:    {"header_too_large", "the request line and header section are longer than max-header"},
	HeaderTimeout:     {"header_timeout", "the request did not arrive within read-timeout"},
	Framing:           {"framing", "the body's length could be read in two ways: Content-Length and Transfer-Encoding, one of them twice, or not as RFC 9112 has it"},
	Expectation:       {"expectation", "Expect asks for something else than 100-continue"},
	MethodNeverServed: {"method_never_served", "CONNECT, TRACE and TRACK are never served"},
	Target:            {"target", "the path or query has no one canonical form"},
	Host:              {"host", "Host is absent, malformed, repeated, or names another host than the request line"},
	CertificateField:  {"certificate_field", "the field in which a trusted proxy passes on the client's certificate cannot be read"},
	ConnectionField:   {"connection_field", "Connection names a field that the gateway sets or relies on"},
	BodyTooLarge:      {"body_too_large", "the body is longer than the Api's upstream takes"},
	BodyTimeout:       {"body_timeout", "the body came too slowly"},
	BodyBroken:        {"body_broken", "the body is malformed, or ended early"},

	NoRoute:    {"no_route", "no Api has this host and path"},
	APIStopped: {"api_stopped", "the Api is stopped"},
	NotInForce: {"not_in_force", "this node cannot put the Api's definition in force; /readyz says why"},
	NotReady:   {"not_ready", "the node has no state yet"},
	PageMethod: {"page_method", "a page of the gateway's own takes GET and HEAD only"},

	CredentialMissing:    {"credential_missing", "the request brought no credential that a plan of the Api takes"},
	CredentialAmbiguous:  {"credential_ambiguous", "the request brought more than one credential, or one in two places"},
	CredentialMalformed:  {"credential_malformed", "the credential has characters that none has (RFC 6750 section 2.1), or is empty"},
	CredentialUnreadable: {"credential_unreadable", "token_from failed on what the request brought"},
	NoPlan:               {"no_plan", "no plan of the Api takes this credential for this request: by its kind, its place or the plans' selection rules"},

	TooLong:         {"too_long", "the token is longer than max-token-size"},
	Encrypted:       {"encrypted", "the token is encrypted (JWE), which is not supported"},
	Malformed:       {"malformed", "the token is not a well-formed JWT"},
	Opaque:          {"opaque", "the token is no JWT, and no plan that introspects took it"},
	ClaimMalformed:  {"claim_malformed", "a registered claim has a value of the wrong kind"},
	HeaderExtension: {"header_extension", "the token's header has crit, b64 or zip"},
	Algorithm:       {"algorithm", "alg is not supported, or not one of the issuer's algorithms"},
	Type:            {"type", "typ is not one of the issuer's token_types"},
	TokenKind:       {"token_kind", "the token is of another kind than an access token"},
	Profile:         {"profile", "the token lacks what the issuer's profile asks for"},

	IssuerUnknown:    {"issuer_unknown", "no issuer in force has the token's iss"},
	IssuerUntrusted:  {"issuer_untrusted", "the plan does not trust the token's issuer"},
	IssuerMismatch:   {"issuer_mismatch", "the token says that another issuer has made it than the one that was asked about it"},
	IssuerAmbiguous:  {"issuer_ambiguous", "the token has no iss, and several issuers have the key that verified it"},
	Tenant:           {"tenant", "the token is of a tenant that the issuer does not name, or its iss and tid name different ones"},
	IssuerNotInForce: {"issuer_not_in_force", "the plan's issuer is not in force on this node"},
	Audience:         {"audience", "aud has none of the issuer's audiences"},
	PlanAudience:     {"plan_audience", "aud has none of the plan's audiences"},
	Expired:          {"expired", "exp has passed"},
	NoExpiry:         {"no_expiry", "exp is absent, and the issuer requires it"},
	NotYetValid:      {"not_yet_valid", "nbf is in the future"},
	IssuedInFuture:   {"issued_in_future", "iat is in the future"},
	Lifetime:         {"lifetime", "the token lives longer than the issuer's max_lifetime"},
	KeyUnknown:       {"key_unknown", "no key of the issuer fits the token's kid and alg"},
	KeyOutdated:      {"key_outdated", "the key that fits is outside its dates, or its key set is too old"},
	KeyIssuer:        {"key_issuer", "the key set binds the key that verified the token to another issuer"},
	KeysUnavailable:  {"keys_unavailable", "no keys were fetched yet for the issuer with its present settings"},
	Signature:        {"signature", "the signature is wrong, empty or of the wrong length"},
	Revoked:          {"revoked", "a revocation names the token, its client, its subject or its issuer"},

	Inactive:                  {"inactive", "the introspection server says that the token is not active"},
	IntrospectionOff:          {"introspection_off", "the plan's issuer has no introspection"},
	IntrospectionUnreachable:  {"introspection_unreachable", "there is no connection to the introspection server"},
	IntrospectionTimeout:      {"introspection_timeout", "the introspection server did not answer in time"},
	IntrospectionStatus:       {"introspection_status", "the introspection server answered with another status than 200"},
	IntrospectionUnauthorized: {"introspection_unauthorized", "the introspection server does not accept the gateway's credential"},
	IntrospectionAnswer:       {"introspection_answer", "the introspection server's answer is too large, or not as RFC 7662 has it"},
	IntrospectionUndiscovered: {"introspection_undiscovered", "the provider's metadata cannot be had or used"},
	IntrospectionBusy:         {"introspection_busy", "too many questions wait for the introspection server"},
	IntrospectionCircuit:      {"introspection_circuit", "the introspection server has failed too often to be asked now"},

	Binding:            {"binding", "cnf is malformed, or binds in a way that cannot be checked"},
	BindingUnwanted:    {"binding_unwanted", "the token is bound in a way that the plan does not take"},
	BindingMissing:     {"binding_missing", "the plan asks for a bound token, and this is none"},
	BindingCertificate: {"binding_certificate", "the client certificate is not the one that the token is bound to"},
	BindingScheme:      {"binding_scheme", "a token that is bound to a key came as Bearer, or one that is not as DPoP"},
	ProofMissing:       {"proof_missing", "there is no DPoP proof"},
	ProofRepeated:      {"proof_repeated", "there is more than one DPoP proof"},
	ProofMalformed:     {"proof_malformed", "the proof is not a well-formed JWT"},
	ProofType:          {"proof_type", "the proof's typ is not dpop+jwt"},
	ProofAlgorithm:     {"proof_algorithm", "the proof's alg is not asymmetric, or not supported"},
	ProofKey:           {"proof_key", "the proof's jwk is not one usable public key"},
	ProofClaims:        {"proof_claims", "the proof lacks jti, htm, htu, iat or ath as they should be"},
	ProofThumbprint:    {"proof_thumbprint", "the proof is signed by another key than the token is bound to"},
	ProofToken:         {"proof_token", "the proof's ath is of another token"},
	ProofMethod:        {"proof_method", "the proof's htm is another method"},
	ProofURL:           {"proof_url", "the proof's htu is another URL"},
	ProofTime:          {"proof_time", "the proof's iat is too far from now"},
	ProofSignature:     {"proof_signature", "the proof's signature is wrong"},
	ProofReplayed:      {"proof_replayed", "the proof was used before"},
	ProofMemory:        {"proof_memory", "there is no room to remember one more proof as used"},
	ProofShare:         {"proof_share", "the token's client has used so many proofs that the room is for others"},

	APIKeyUnknown:        {"api_key_unknown", "no application has this API key"},
	APIKeyExpired:        {"api_key_expired", "the API key has expired"},
	CertificateDates:     {"certificate_dates", "the client certificate is not valid yet, or no longer"},
	CertificateUnknown:   {"certificate_unknown", "no application has registered the client certificate"},
	CertificateExpired:   {"certificate_expired", "the application's registration of the certificate has expired"},
	CertificateUntrusted: {"certificate_untrusted", "the client certificate does not chain to an authority of the plan"},

	ApplicationUnknown:   {"application_unknown", "no application has this client id with this issuer"},
	SubscriptionMissing:  {"subscription_missing", "the application has no subscription to the plan, or none that is not rejected or closed"},
	SubscriptionUnlisted: {"subscription_unlisted", "the token's list of subscriptions does not have the Api"},
	SubscriptionPending:  {"subscription_pending", "the subscription waits to be accepted"},
	SubscriptionPaused:   {"subscription_paused", "the subscription is paused"},
	SubscriptionNotBegun: {"subscription_not_begun", "the subscription's starts_at is in the future"},
	SubscriptionEnded:    {"subscription_ended", "the subscription's ends_at has passed"},
	NoSandbox:            {"no_sandbox", "the client belongs to the sandbox, which the Api does not have"},
	Scope:                {"scope", "the token lacks a scope that the plan asks for"},
	ClaimRule:            {"claim_rule", "a claim rule of the plan does not hold"},
	ResourceFiltered:     {"resource_filtered", "the plan's resource filter forbids the path"},
	MethodFiltered:       {"method_filtered", "the plan's resource filter forbids the method on the path"},
	LimitRate:            {"limit_rate", "the plan's rate limit is used up"},
	LimitQuota:           {"limit_quota", "the plan's quota is used up"},
	LimitSpike:           {"limit_spike", "requests come faster than the plan's spike arrest lets them"},

	UpstreamConnect:        {"upstream_connect", "no connection to the upstream could be opened"},
	UpstreamConnectTimeout: {"upstream_connect_timeout", "a connection to the upstream was not open in time"},
	UpstreamBusy:           {"upstream_busy", "the upstream has as many connections as it may have"},
	UpstreamSend:           {"upstream_send", "the request could not be sent to the upstream"},
	UpstreamSendTimeout:    {"upstream_send_timeout", "the upstream did not take the request in time"},
	UpstreamAnswer:         {"upstream_answer", "the upstream's answer is broken, or its connection closed before one"},
	UpstreamAnswerTimeout:  {"upstream_answer_timeout", "the upstream did not answer in time"},

	Signing:  {"signing", "the gateway's own JWT could not be signed"},
	Panic:    {"panic", "the gateway met a bug, which is in its log"},
	Internal: {"internal", "the gateway met an error that it knows no name for"},
}
