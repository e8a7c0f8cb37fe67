package denial

import "github.com/portcullis-gateway/portcullis/shared/denial/cause"

// The refusals. Those that can have several causes have none of their own: who
// refuses says Because. Those of one status and reason that differ in their challenge
// only carry the same code and metric label.
//
//nolint:gochecknoglobals,errname // immutable sentinels, as errors are; rendered once
var (
	// BadRequest: the request cannot be understood, or could be understood in more than one way.
	BadRequest = define(spec{
		status: 400, reason: "bad_request", title: "Bad request",
		detail: "The request is malformed or ambiguous.",
	})
	// InvalidRequest: malformed Authorization, or more than one credential.
	InvalidRequest = define(spec{
		status: 400, code: 900901, reason: "invalid_request", title: "Invalid request",
		detail: "The credential is malformed, or more than one was sent.",
		scheme: bearer, param: "invalid_request",
		wso2:     foreign{401, 900901, "Invalid Credentials", hintToken},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Invalid token."},
	})
	// MissingCredentials: a bearer token is needed.
	MissingCredentials = define(missing(bearer, "JWT Token is required.", 400))
	// MissingAPIKey: an API key is needed.
	MissingAPIKey = define(missing(apiKey, "Authentication Attempt Failed", 401))
	// MissingAnyCredentials: a bearer token or an API key is needed.
	MissingAnyCredentials = define(missing(bearerOrKey, "JWT Token is required.", 400))
	// InvalidToken: not a JWT, bad signature, unknown issuer, wrong audience and so on.
	InvalidToken = define(spec{
		status: 401, code: 900901, reason: "invalid_token", title: "Invalid token",
		detail: "The token is not valid for this API.",
		scheme: bearer, param: "invalid_token",
		wso2:     foreign{401, 900901, "Invalid Credentials", hintToken},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Invalid token."},
	})
	// InvalidAPIKey: the API key is unknown or has expired.
	InvalidAPIKey = define(spec{
		status: 401, code: 900901, reason: "invalid_api_key", title: "Invalid API key",
		detail: "The API key is not valid for this API.",
		scheme: apiKey, param: "invalid_key",
		wso2:     foreign{401, 900901, "Invalid Credentials", hintToken},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Authentication Attempt Failed"},
	})
	// TokenTooLong: the token has more bytes than the listener takes (RFC 6585 section 5).
	TokenTooLong = define(spec{
		status: 431, code: 900901, reason: "token_too_long", title: "Token too long",
		detail: "The token is longer than this gateway takes.",
	})
	// TokenExpired: the token's exp is in the past.
	TokenExpired = define(spec{
		status: 401, code: 900903, reason: "token_expired", title: "Token expired", cause: cause.Expired,
		detail: "The token has expired.",
		scheme: bearer, param: "invalid_token",
		wso2:     foreign{401, 900901, "Invalid Credentials", hintToken},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Invalid token."},
	})
	// TokenRevoked: a revocation names the token, its client or its subject.
	TokenRevoked = define(spec{
		status: 401, code: 900904, reason: "token_revoked", title: "Token revoked", cause: cause.Revoked,
		detail: "The token has been revoked.",
		scheme: bearer, param: "invalid_token",
		wso2:     foreign{401, 900901, "Invalid Credentials", hintToken},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Invalid token."},
	})
	// UnboundToken: the token is bound to a key (RFC 9449) and was sent without a
	// proof, or the plan wants such a token and this is none.
	UnboundToken = define(spec{
		status: 401, code: 900901, reason: "invalid_token", title: "Invalid token",
		detail: "The token must be bound to a key and be sent with a proof of it.",
		scheme: dpop, param: "invalid_token",
		wso2:     foreign{401, 900901, "Invalid Credentials", hintToken},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Invalid token."},
	})
	// InvalidProof: the DPoP proof is malformed, for something else, too old, or was used before.
	InvalidProof = define(spec{
		status: 401, code: 900901, reason: "invalid_dpop_proof", title: "Invalid DPoP proof",
		detail: "The DPoP proof is not valid for this request.",
		scheme: dpop, param: "invalid_dpop_proof",
		wso2:     foreign{401, 900901, "Invalid Credentials", hintToken},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Invalid token."},
	})
	// ProofsUnavailable: it cannot be known at the moment whether a DPoP proof was used before.
	ProofsUnavailable = define(spec{
		status: 503, code: 900900, reason: "proofs_unavailable", title: "Proofs unavailable", cause: cause.ProofMemory,
		detail: "DPoP proofs cannot be checked at the moment.", retryAfter: "10",
		wso2:     foreign{500, 900900, "Unclassified Authentication Failure", ""},
		gravitee: foreign{status: 500, message: "Internal Server Error"},
	})
	// InvalidCertificate: the client certificate is not one of an application, or out of date.
	InvalidCertificate = define(spec{
		status: 401, code: 900901, reason: "invalid_certificate", title: "Invalid client certificate",
		detail:   "The client certificate is not valid for this API.",
		wso2:     foreign{401, 900901, "Invalid Credentials", hintToken},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Authentication Attempt Failed"},
	})
	// IntrospectionUnavailable: the authorization server cannot be asked about the token.
	IntrospectionUnavailable = define(spec{
		status: 503, code: 900900, reason: "introspection_unavailable", title: "Introspection unavailable",
		detail: "The token cannot be checked at the moment.", retryAfter: "5",
		wso2:     foreign{500, 900900, "Unclassified Authentication Failure", ""},
		gravitee: foreign{status: 503, message: "Temporarily Unavailable"},
	})
	// SubscriptionNotFound: this client has no subscription to a plan of this API.
	SubscriptionNotFound = define(spec{
		status: 403, code: 900908, reason: "subscription_not_found", title: "No subscription",
		detail: "The client has no subscription to this API.",
		scheme: bearer, param: "insufficient_scope",
		wso2:     foreign{403, 900908, "Resource forbidden ", ""},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 403, message: "Invalid client application credentials."},
	})
	// SubscriptionInactive: the subscription is paused, pending or outside its dates.
	SubscriptionInactive = define(spec{
		status: 403, code: 900909, reason: "subscription_inactive", title: "Subscription inactive",
		detail: "The client's subscription to this API is not active.",
		scheme: bearer, param: "insufficient_scope",
		wso2:     foreign{401, 900909, "The subscription to the API is inactive", ""},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 403, message: "Invalid client application credentials."},
	})
	// SandboxNotServed: a sandbox client calls an API that has no sandbox.
	SandboxNotServed = define(spec{
		status: 403, code: 900901, reason: "sandbox_not_served", title: "No sandbox", cause: cause.NoSandbox,
		detail:   "The client belongs to the sandbox, which this API does not have.",
		wso2Body: `{"ERROR_CODE":"900901","ERROR_MESSAGE":"Sandbox key offered to the API with no sandbox endpoint"}`,
		gravitee: foreign{status: 403, message: "Forbidden"},
		flex:     foreign{status: 403, message: "Invalid client application credentials."},
	})
	// InsufficientScope: the token lacks a scope that the plan asks for.
	InsufficientScope = define(spec{
		status: 403, code: 900910, reason: "insufficient_scope", title: "Insufficient scope", cause: cause.Scope,
		detail: "The token does not have a scope that is needed here.",
		scheme: bearer, param: "insufficient_scope",
		wso2:     foreign{403, 900910, msgScope, ""},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 403, message: "Invalid token."},
	})
	// ClaimRuleFailed: a claim rule of the plan does not hold.
	ClaimRuleFailed = define(spec{
		status: 403, code: 900910, reason: "claim_rule_failed", title: "Claim rule not met", cause: cause.ClaimRule,
		detail: "A claim of the token does not meet a rule of the plan.",
		scheme: bearer, param: "insufficient_scope",
		wso2:     foreign{403, 900910, msgScope, ""},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: 401, message: "Invalid token."},
	})
	// RateLimited: the plan's rate limit is used up.
	RateLimited = define(throttled(cause.LimitRate, 900800, "rate_limited", "Rate limit exceeded", "Rate limit exceeded!"))
	// QuotaExceeded: the plan's quota is used up.
	QuotaExceeded = define(throttled(cause.LimitQuota, 900804, "quota_exceeded", "Quota exceeded", "Quota exceeded!"))
	// SpikeArrested: requests come faster than the plan's spike arrest lets them.
	SpikeArrested = define(throttled(cause.LimitSpike, 900807, "spike_arrested", "Spike arrested", "Spike limit exceeded!"))
	// ResourceForbidden: the plan's resource filter forbids this path.
	ResourceForbidden = define(spec{
		status: 403, code: 900906, reason: "resource_forbidden", title: "Resource forbidden", cause: cause.ResourceFiltered,
		detail: "The plan does not include this resource.",
		scheme: bearer, param: "insufficient_scope",
		wso2:     foreign{403, 900906, msgResource, ""},
		gravitee: foreign{status: 403, message: "You're not allowed to access this resource"},
	})
	// MethodNotAllowed: the method is filtered here, or never served (CONNECT, TRACE).
	MethodNotAllowed = define(spec{
		status: 405, code: 900906, reason: "method_not_allowed", title: "Method not allowed",
		detail: "This method is not allowed here.",
		wso2:   foreign{405, 900906, msgResource, ""},
	})
	// KeysUnavailable: no keys were fetched yet for the issuer with its present settings.
	KeysUnavailable = define(spec{
		status: 503, code: 900900, reason: "keys_unavailable", title: "Keys unavailable", cause: cause.KeysUnavailable,
		detail: "The token cannot be checked at the moment.", retryAfter: "10",
		wso2:     foreign{500, 900900, "Unclassified Authentication Failure", ""},
		gravitee: foreign{status: 500, message: "Internal Server Error"},
	})
	// NotInForce: this gateway cannot put the API's definition in force.
	NotInForce = define(spec{
		status: 503, code: 900900, reason: "not_in_force", title: "API not in force", cause: cause.NotInForce,
		detail: "This gateway cannot serve the API as it is defined now.", retryAfter: "10",
		wso2:     foreign{500, 900900, "Unclassified Authentication Failure", ""},
		gravitee: foreign{status: 503, message: "Temporarily Unavailable"},
	})
	// APINotFound: no API on this host and path, or it is stopped.
	APINotFound = define(spec{
		status: 404, code: 900906, reason: "api_not_found", title: "Not found",
		detail:   "There is no API on this host and path.",
		gravitee: foreign{status: 404, message: "No context-path matches the request URI."},
	})
	// RequestTooLarge: the body is longer than the Api or the listener takes.
	RequestTooLarge = define(spec{
		status: 413, reason: "request_too_large", title: "Content too large", cause: cause.BodyTooLarge,
		detail: "The request body is too large.",
	})
	// HeaderTooLarge: the request line and headers are longer than the listener takes.
	HeaderTooLarge = define(spec{
		status: 431, reason: "header_too_large", title: "Request header fields too large", cause: cause.HeaderTooLarge,
		detail: "The request's header section is too large.",
	})
	// ExpectationFailed: an Expect other than 100-continue.
	ExpectationFailed = define(spec{
		status: 417, reason: "expectation_failed", title: "Expectation failed", cause: cause.Expectation,
		detail: "Only 100-continue can be expected.",
	})
	// RequestTimeout: the request did not arrive in time.
	RequestTimeout = define(spec{
		status: 408, reason: "request_timeout", title: "Request timeout",
		detail: "The request did not arrive in time.",
	})
	// VersionNotSupported: neither HTTP/1.0 nor HTTP/1.1.
	VersionNotSupported = define(spec{
		status: 505, reason: "version_not_supported", title: "HTTP version not supported", cause: cause.HTTPVersion,
		detail: "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
	})
	// Internal: a fault of the gateway itself.
	Internal = define(spec{
		status: 500, reason: "internal_error", title: "Internal server error", cause: cause.Internal,
		detail:   "The gateway met an internal error.",
		wso2:     foreign{500, 900900, "Unclassified Authentication Failure", ""},
		gravitee: foreign{status: 500, message: "Internal Server Error"},
	})
	// NotReady: the gateway has not loaded its state yet.
	NotReady = define(spec{
		status: 503, reason: "not_ready", title: "Not ready", cause: cause.NotReady,
		detail: "The gateway is starting.", retryAfter: "1",
	})
	// UpstreamUnreachable: no connection to the upstream, or its answer is broken.
	UpstreamUnreachable = define(spec{
		status: 502, reason: "upstream_unreachable", title: "Bad gateway",
		detail: "The upstream could not be reached.",
	})
	// UpstreamTimeout: the upstream did not answer in time.
	UpstreamTimeout = define(spec{
		status: 504, reason: "upstream_timeout", title: "Gateway timeout",
		detail: "The upstream did not answer in time.",
	})
)

// Texts that WSO2 Microgateway 3.2 puts into its bodies.
const (
	hintToken   = "Make sure you have given the correct access token"
	msgScope    = "The access token does not allow you to access the requested resource"
	msgResource = "No matching resource found in the API for the given request"
)

func missing(s scheme, flexMessage string, flexStatus int) spec {
	return spec{
		status: 401, code: 900902, reason: "missing_credentials", title: "Missing credentials", cause: cause.CredentialMissing,
		detail: "This API needs a credential.", scheme: s,
		wso2:     foreign{401, 900902, "Missing Credentials", "Make sure your API request provides required credentials"},
		gravitee: foreign{status: 401, message: "Unauthorized"},
		flex:     foreign{status: flexStatus, message: flexMessage},
	}
}

func throttled(c cause.Cause, code int, reason, title, graviteeMessage string) spec {
	return spec{
		status: 429, code: code, reason: reason, title: title, cause: c,
		detail:   "More requests than the plan allows; see Retry-After.",
		wso2:     foreign{429, code, "Message throttled out", "You have exceeded your quota"},
		gravitee: foreign{status: 429, message: graviteeMessage},
		flex:     foreign{status: 429, message: "Too Many Requests"},
	}
}
