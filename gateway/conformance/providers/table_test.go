package providers_test

import (
	"maps"
	"net/http"
)

// provider is what stands on the page under its heading, as its servers and its
// tokens are.
type provider struct {
	id string
	// serves are the bodies of its pages, by URL.
	serves map[string]string
	// field is where its token comes; empty: Authorization: Bearer.
	field string
	token made
	// application is the one that the token's client belongs to.
	application string
	// also pass; refused do not, for the cause.
	also    map[string]made
	refused map[string]refusal
}

type refusal struct {
	token made
	cause string
}

const (
	tenant      = "8f3b1c5e-52a7-4f0e-9a0c-2d1e6f7a8b90"
	tenantTwo   = "8f3b1c5e-52a7-4f0e-9a0c-2d1e6f7a8b91"
	stranged    = "00000000-1111-2222-3333-444444444444"
	entraAPI    = "2c1a4f5e-0d7b-4a39-8c55-7e9d3b6a1f20"
	entraClient = "91d0c7aa-6e0f-4b1d-b0f4-5a3c2e1d9f77"
	microsoft   = "https://login.microsoftonline.com/"
)

// discovered are the pages of a provider with OpenID Connect discovery.
func discovered(issuer, jwks string, list ...object) map[string]string {
	return map[string]string{trim(issuer) + "/.well-known/openid-configuration": metadata(issuer, jwks), jwks: keys(list...)}
}

func trim(issuer string) string {
	if n := len(issuer); issuer[n-1] == '/' {
		return issuer[:n-1]
	}
	return issuer
}

var jwt1 = object{"typ": "JWT", "kid": "k1"}

// table is every section of the page that has a block.
func table() map[string]provider {
	all := map[string]provider{}
	for _, part := range []map[string]provider{products(), microsofts(), clouds(), workloads(), unnamed()} {
		maps.Copy(all, part)
	}
	return all
}

func products() map[string]provider {
	keycloak := made{header: jwt1, claims: object{
		"iss": "https://sso.acme.example/realms/acme", "aud": []string{"orders", "account"}, "azp": "shop", "typ": "Bearer", "sub": "f:1", "jti": "onrtac:1",
		"scope": "openid profile", "realm_access": object{"roles": []string{"user"}}, "acr": "1", "sid": "s",
	}}
	okta := made{header: object{"kid": "k1"}, claims: object{
		"iss": "https://acme.okta.com/oauth2/default", "aud": "api://default", "cid": "0oa1shop", "uid": "00u1", "sub": "a@acme.example", "ver": 1, "jti": "AT.1", "scp": []string{"openid", "orders.read"},
	}}
	auth0 := made{header: jwt1, claims: object{
		"iss": "https://acme.eu.auth0.com/", "aud": []string{"https://orders.acme.example", "https://acme.eu.auth0.com/userinfo"}, "azp": "a0shop", "sub": "auth0|1", "scope": "openid read:orders", "permissions": []string{},
	}}
	hydra := made{header: jwt1, claims: object{
		"iss": "https://hydra.acme.example", "aud": []string{"orders"}, "client_id": "5f1c2d3e", "ext": object{}, "scp": []string{"read"}, "sub": "u", "jti": "1", "nbf": 1,
	}}
	curity := made{header: object{"kid": "k1", "x5t": "x", "typ": "at+jwt"}, claims: object{
		"iss": "https://idsvr.acme.example/oauth/v2/oauth-anonymous", "aud": "orders", "client_id": "shop", "scope": "read", "sub": "u", "purpose": "access_token", "jti": "1", "delegationId": "d", "nbf": 1,
	}}
	ping := made{header: object{"kid": "k1", "pi.atm": "1"}, claims: object{
		"iss": "https://sso.acme.example:9031", "aud": "orders", "client_id": "shop", "scope": []string{"read"}, "sub": "u", "jti": "1",
	}}
	wso2 := made{header: object{"kid": "k1", "typ": "at+jwt", "x5t": "x"}, claims: object{
		"iss": "https://is.acme.example/oauth2/token", "aud": "KQd4cWsoShop", "azp": "KQd4cWsoShop", "client_id": "KQd4cWsoShop", "aut": "APPLICATION", "sub": "u", "jti": "1", "scope": "read", "nbf": 1,
	}}
	salesforce := made{header: object{"kid": "k1", "typ": "JWT", "tty": "sfdc-core-token", "tnk": "core/prod/00D"}, claims: object{
		"iss": "https://acme.my.salesforce.com", "aud": []string{"https://acme.my.salesforce.com"}, "client_id": "3MVG9shop", "sub": "uid:005", "scp": "api refresh_token", "sfi": "x", "roles": []string{}, "mty": "oauth", "nbf": 1,
	}}
	encryption := jwk("enc", object{"use": "enc", "alg": "RSA-OAEP"})
	return map[string]provider{
		"Keycloak": {
			id: "keycloak", application: "keycloak-shop", token: keycloak,
			serves: discovered("https://sso.acme.example/realms/acme", "https://sso.acme.example/realms/acme/protocol/openid-connect/certs", encryption, jwk("k1", object{"alg": "RS256", "x5c": []string{"MII"}, "x5t": "x"})),
			refused: map[string]refusal{
				"an identity token": {keycloak.with(object{"typ": "ID", "aud": "shop", "at_hash": "x", "nonce": "n"}), "token_kind"},
				"a refresh token":   {keycloak.with(object{"typ": "Refresh", "aud": "https://sso.acme.example/realms/acme"}), "token_kind"},
				"another audience":  {keycloak.with(object{"aud": "account"}), "audience"},
				"another realm":     {keycloak.with(object{"iss": "https://sso.acme.example/realms/other"}), "issuer_unknown"},
				"another client":    {keycloak.with(object{"azp": "other"}), "application_unknown"},
			},
		},
		"Okta": {
			id: "okta", application: "okta-shop", token: okta,
			serves: discovered("https://acme.okta.com/oauth2/default", "https://acme.okta.com/oauth2/default/v1/keys", jwk("k1", object{"alg": "RS256"})),
			refused: map[string]refusal{
				"an identity token": {okta.with(object{"aud": "0oa1shop", "cid": nil, "nonce": "n", "at_hash": "x"}), "audience"},
				"the org server's":  {okta.with(object{"iss": "https://acme.okta.com"}), "issuer_unknown"},
				"another scope":     {okta.with(object{"scp": []string{"openid"}}), "scope"},
			},
		},
		"Auth0": {
			id: "auth0", application: "auth0-shop", token: auth0,
			serves: discovered("https://acme.eu.auth0.com/", "https://acme.eu.auth0.com/.well-known/jwks.json", jwk("k1", object{"alg": "RS256", "x5t": "x"})),
			also:   map[string]made{"the RFC 9068 profile": auth0.typed(object{"typ": "at+jwt"}).with(object{"azp": nil, "client_id": "a0shop", "jti": "1"})},
			refused: map[string]refusal{
				"an identity token": {auth0.with(object{"aud": "a0shop", "nonce": "n", "sid": "s"}), "audience"},
				"another tenant":    {auth0.with(object{"iss": "https://other.eu.auth0.com/"}), "issuer_unknown"},
				"another API":       {auth0.with(object{"aud": []string{"https://bills.acme.example"}}), "audience"},
			},
		},
		"Ory Hydra": {
			id: "hydra", application: "hydra-shop", token: hydra,
			serves: discovered("https://hydra.acme.example", "https://hydra.acme.example/.well-known/jwks.json", jwk("k1", object{"alg": "RS256"})),
			refused: map[string]refusal{
				"an identity token": {hydra.with(object{"aud": []string{"5f1c2d3e"}, "client_id": nil, "at_hash": "x", "sid": "s"}), "audience"},
				"no audience":       {hydra.with(object{"aud": []string{}}), "audience"},
			},
		},
		"Curity": {
			id: "curity", application: "curity-shop", token: curity,
			serves: discovered("https://idsvr.acme.example/oauth/v2/oauth-anonymous", "https://idsvr.acme.example/oauth/v2/oauth-anonymous/jwks", jwk("k1", object{"alg": "RS256"})),
			also:   map[string]made{"without typ": curity.typed(object{"typ": "JWT"})},
			refused: map[string]refusal{
				"an identity token": {curity.typed(object{"typ": "JWT"}).with(object{"aud": "shop", "azp": "shop", "client_id": nil, "purpose": "id"}), "audience"},
				"another profile":   {curity.with(object{"iss": "https://idsvr.acme.example/oauth/v2/oauth-other"}), "issuer_unknown"},
			},
		},
		"PingFederate": {
			id: "ping", application: "ping-shop", token: ping,
			serves: discovered("https://sso.acme.example:9031", "https://sso.acme.example:9031/pf/JWKS", jwk("k1", nil), ecJWK("k2")),
			refused: map[string]refusal{
				"an identity token": {ping.with(object{"aud": "shop", "client_id": nil, "pi.sri": "x", "nonce": "n"}), "audience"},
				"another audience":  {ping.with(object{"aud": "bills"}), "audience"},
			},
		},
		"WSO2 Identity Server": {
			id: "wso2", application: "wso2-shop", token: wso2,
			serves: discovered("https://is.acme.example/oauth2/token", "https://is.acme.example/oauth2/jwks", jwk("k1", object{"alg": "RS256", "x5t#S256": "x"})),
			refused: map[string]refusal{
				"an identity token": {wso2.typed(object{"typ": "JWT"}).with(object{"client_id": nil, "aut": nil, "at_hash": "x"}), "profile"},
				"another tenant":    {wso2.with(object{"iss": "https://is.acme.example/t/other/oauth2/token"}), "issuer_unknown"},
			},
		},
		"Salesforce": {
			id: "salesforce", application: "salesforce-shop", token: salesforce,
			serves: discovered("https://acme.my.salesforce.com", "https://acme.my.salesforce.com/id/keys", jwk("k0", object{"n": "AQAB"}), jwk("k1", object{"alg": "RS256"})),
			refused: map[string]refusal{
				"an identity token": {salesforce.with(object{"aud": "3MVG9shop", "client_id": nil, "scp": nil, "at_hash": "x"}), "audience"},
				"another org":       {salesforce.with(object{"iss": "https://other.my.salesforce.com"}), "issuer_unknown"},
			},
		},
	}
}

func microsofts() map[string]provider {
	v2 := made{header: object{"typ": "JWT", "kid": "k1", "x5t": "k1"}, claims: object{
		"iss": microsoft + tenant + "/v2.0", "aud": entraAPI, "azp": entraClient, "azpacr": "1", "tid": tenant, "oid": "o", "sub": "s", "scp": "orders.read", "ver": "2.0", "uti": "u", "nbf": 1,
	}}
	v1 := made{header: v2.header, claims: object{
		"iss": "https://sts.windows.net/" + tenant + "/", "aud": "api://orders", "appid": entraClient, "appidacr": "1", "tid": tenant, "oid": "o", "sub": "s", "scp": "orders.read", "ver": "1.0", "nbf": 1,
	}}
	many := v2.with(object{"iss": microsoft + tenantTwo + "/v2.0", "tid": tenantTwo})
	b2c := made{header: object{"typ": "JWT", "kid": "k1"}, claims: object{
		"iss": "https://acme.b2clogin.com/" + tenant + "/v2.0/", "aud": entraAPI, "azp": entraClient, "sub": "s", "tfp": "B2C_1_signin", "scp": "orders.read", "ver": "1.0", "nbf": 1,
	}}
	pattern := object{"issuer": microsoft + "{tenantid}/v2.0", "x5t": "k1"}
	return map[string]provider{
		"Entra ID, v2": {
			id: "entra", application: "entra-shop", token: v2,
			serves: discovered(microsoft+tenant+"/v2.0", microsoft+tenant+"/discovery/v2.0/keys", jwk("k1", pattern)),
			also:   map[string]made{"a daemon's": v2.with(object{"scp": nil, "roles": []string{"Orders.Read.All"}, "idtyp": "app"})},
			refused: map[string]refusal{
				"an identity token": {v2.with(object{"aud": entraClient, "azp": nil, "scp": nil, "nonce": "n"}), "audience"},
				"another tenant":    {v2.with(object{"iss": microsoft + stranged + "/v2.0", "tid": stranged}), "tenant"}, // the Issuer of many tenants knows it no more
				"another API":       {v2.with(object{"aud": "00000003-0000-0000-c000-000000000000"}), "audience"},
			},
		},
		"Entra ID, v1": {
			id: "entra-v1", application: "entra-v1-shop", token: v1,
			serves: map[string]string{
				microsoft + tenant + "/.well-known/openid-configuration": metadata("https://sts.windows.net/"+tenant+"/", microsoft+"common/discovery/keys"),
				microsoft + "common/discovery/keys":                      keys(jwk("k1", object{"x5t": "k1"})),
			},
			refused: map[string]refusal{
				"another tenant": {v1.with(object{"iss": "https://sts.windows.net/" + stranged + "/", "tid": stranged}), "issuer_unknown"},
				"another API":    {v1.with(object{"aud": "https://graph.microsoft.com"}), "audience"},
			},
		},
		"Entra ID, many tenants": {
			id: "entra-all", application: "entra-all-shop", token: many,
			serves: map[string]string{
				microsoft + "organizations/v2.0/.well-known/openid-configuration": metadata(microsoft+"{tenantid}/v2.0", microsoft+"organizations/discovery/v2.0/keys"),
				microsoft + "organizations/discovery/v2.0/keys": keys(jwk("k1", pattern),
					jwk("k9", object{"issuer": microsoft + "9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"})),
			},
			also: map[string]made{"the other tenant": many.with(object{"iss": microsoft + "d2a0b5c4-1e3f-4b6a-8c7d-9e0f1a2b3c4d/v2.0", "tid": "d2a0b5c4-1e3f-4b6a-8c7d-9e0f1a2b3c4d"})},
			refused: map[string]refusal{
				"a strange tenant":            {many.with(object{"iss": microsoft + stranged + "/v2.0", "tid": stranged}), "tenant"},
				"a tenant that iss denies":    {many.with(object{"tid": stranged}), "tenant"},
				"no tenant":                   {many.with(object{"tid": nil}), "tenant"},
				"a key of personal accounts":  {many.typed(object{"kid": "k9"}), "key_issuer"},
				"an identity token":           {many.with(object{"aud": entraClient, "azp": nil}), "audience"},
				"the pattern in place of iss": {many.with(object{"iss": microsoft + "{tenantid}/v2.0", "tid": "{tenantid}"}), "issuer_unknown"},
			},
		},
		"Azure AD B2C": {
			id: "b2c", application: "b2c-shop", token: b2c,
			serves: map[string]string{
				"https://acme.b2clogin.com/acme.onmicrosoft.com/B2C_1_signin/v2.0/.well-known/openid-configuration": metadata("https://acme.b2clogin.com/"+tenant+"/v2.0/", "https://acme.b2clogin.com/acme.onmicrosoft.com/b2c_1_signin/discovery/v2.0/keys"),
				"https://acme.b2clogin.com/acme.onmicrosoft.com/b2c_1_signin/discovery/v2.0/keys":                   keys(jwk("k1", object{"nbf": 1})),
			},
			refused: map[string]refusal{
				"an identity token": {b2c.with(object{"aud": entraClient, "azp": nil, "scp": nil, "nonce": "n", "auth_time": 1}), "audience"},
				"another tenant":    {b2c.with(object{"iss": "https://acme.b2clogin.com/" + stranged + "/v2.0/"}), "issuer_unknown"},
			},
		},
	}
}

func clouds() map[string]provider {
	google := made{header: jwt1, claims: object{
		"iss": "https://accounts.google.com", "aud": "1234-shop.apps.googleusercontent.com", "azp": "1234-shop.apps.googleusercontent.com", "sub": "1", "email": "a@acme.example", "email_verified": true, "at_hash": "x",
	}}
	const backend = "/projects/1234/global/backendServices/5678"
	iap := made{alg: "ES256", header: object{"typ": "JWT", "kid": "k1"}, claims: object{
		"iss": "https://cloud.google.com/iap", "aud": backend, "azp": backend, "sub": "accounts.google.com:1", "email": "a@acme.example", "hd": "acme.example",
	}}
	const pool = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34"
	cognito := made{header: object{"kid": "k1"}, claims: object{
		"iss": pool, "client_id": "4shop5client6", "token_use": "access", "version": 2, "scope": "openid orders/read", "sub": "s", "username": "a", "jti": "1", "auth_time": 1,
	}}
	firebase := made{header: jwt1, claims: object{
		"iss": "https://securetoken.google.com/acme-shop", "aud": "acme-shop", "sub": "u", "user_id": "u", "auth_time": 1, "firebase": object{"identities": object{}, "sign_in_provider": "password"},
	}}
	const tag = "32eafc7626e737a28cde94bd9a82b8a5d7bb93da1b8f9c3d3e5e9a3c4d6f1b20"
	cloudflare := made{header: object{"kid": "k1"}, claims: object{
		"iss": "https://acme.cloudflareaccess.com", "aud": []string{tag}, "email": "a@acme.example", "type": "app", "identity_nonce": "n", "sub": "u", "country": "DE", "nbf": 1,
	}}
	apple := made{header: object{"kid": "k1"}, claims: object{
		"iss": "https://appleid.apple.com", "aud": "com.acme.shop", "sub": "001.a", "c_hash": "x", "email": "a@privaterelay.appleid.com", "email_verified": "true", "auth_time": 1, "nonce_supported": true,
	}}
	return map[string]provider{
		"Google": {
			id: "google", application: "google-shop", token: google,
			serves:  discovered("https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs", jwk("k0", object{"alg": "RS256", "n": "x"}), jwk("k1", object{"alg": "RS256"})),
			refused: map[string]refusal{"another's client": {google.with(object{"aud": "9-evil.apps.googleusercontent.com"}), "audience"}, "the old iss": {google.with(object{"iss": "accounts.google.com"}), "issuer_unknown"}},
		},
		"Google Identity-Aware Proxy": {
			id: "iap", application: "iap-backend", token: iap, field: "X-Goog-IAP-JWT-Assertion",
			serves: map[string]string{"https://www.gstatic.com/iap/verify/public_key-jwk": keys(ecJWK("k1"))},
			refused: map[string]refusal{
				"another backend":   {iap.with(object{"aud": "/projects/1234/global/backendServices/9"}), "audience"},
				"an identity token": {google, "issuer_untrusted"},
			},
		},
		"Amazon Cognito": {
			id: "cognito", application: "cognito-shop", token: cognito,
			serves: discovered(pool, pool+"/.well-known/jwks.json", jwk("k1", object{"alg": "RS256"})),
			refused: map[string]refusal{
				"an identity token": {cognito.with(object{"token_use": "id", "aud": "4shop5client6", "client_id": nil, "cognito:username": "a"}), "token_kind"},
				"another pool":      {cognito.with(object{"iss": pool + "x"}), "issuer_unknown"},
				"another client":    {cognito.with(object{"client_id": "other"}), "application_unknown"},
			},
		},
		"Firebase": {
			id: "firebase", application: "firebase-shop", token: firebase,
			serves: map[string]string{"https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com": keys(jwk("k1", object{"alg": "RS256"}))},
			refused: map[string]refusal{
				"another project":       {firebase.with(object{"iss": "https://securetoken.google.com/evil", "aud": "evil"}), "issuer_unknown"},
				"another audience":      {firebase.with(object{"aud": "evil"}), "audience"},
				"a session cookie's":    {firebase.with(object{"iss": "https://session.firebase.google.com/acme-shop"}), "issuer_unknown"},
				"a custom token's kind": {firebase.with(object{"iss": "firebase-adminsdk@acme-shop.iam.gserviceaccount.com", "aud": "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"}), "issuer_unknown"},
			},
		},
		"Cloudflare Access": {
			id: "cloudflare", application: "cloudflare-shop", token: cloudflare, field: "Cf-Access-Jwt-Assertion",
			serves: map[string]string{"https://acme.cloudflareaccess.com/cdn-cgi/access/certs": text(object{
				"keys": []object{jwk("k1", object{"alg": "RS256"})}, "public_cert": object{"kid": "k1", "cert": "x"}, "public_certs": []object{{"kid": "k1", "cert": "x"}},
			})},
			also: map[string]made{"a service token": cloudflare.with(object{"email": nil, "sub": "", "common_name": "88bf3b6d86161464f6509f7219099e57.access"})},
			refused: map[string]refusal{
				"another application": {cloudflare.with(object{"aud": []string{"0" + tag[1:]}}), "audience"},
				"another team":        {cloudflare.with(object{"iss": "https://other.cloudflareaccess.com"}), "issuer_unknown"},
			},
		},
		"Apple": {
			id: "apple", application: "apple-shop", token: apple,
			serves:  map[string]string{"https://appleid.apple.com/auth/keys": keys(jwk("k1", object{"alg": "RS256"}), ecJWK("k2"))},
			also:    map[string]made{"by ES256": {alg: "ES256", header: object{"kid": "k2"}, claims: apple.claims}},
			refused: map[string]refusal{"another app": {apple.with(object{"aud": "com.evil"}), "audience"}},
		},
	}
}

func workloads() map[string]provider {
	const audience = "https://orders.acme.example"
	github := made{header: object{"typ": "JWT", "kid": "k1", "x5t": "x"}, claims: object{
		"iss": "https://token.actions.githubusercontent.com", "aud": audience, "sub": "repo:acme/shop:ref:refs/heads/main", "repository": "acme/shop", "repository_owner": "acme", "ref": "refs/heads/main", "jti": "1", "nbf": 1,
	}}
	gitlab := made{header: jwt1, claims: object{
		"iss": "https://gitlab.acme.example", "aud": audience, "sub": "project_path:acme/shop:ref_type:branch:ref:main", "project_path": "acme/shop", "project_id": "22", "ref": "main", "jti": "1", "nbf": 1,
	}}
	kubernetes := made{header: object{"kid": "k1"}, claims: object{
		"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{audience}, "sub": "system:serviceaccount:shop:default", "jti": "1", "nbf": 1,
		"kubernetes.io": object{"namespace": "shop", "pod": object{"name": "shop-1", "uid": "u"}, "serviceaccount": object{"name": "default", "uid": "u"}},
	}}
	spiffe := made{alg: "ES256", header: object{"typ": "JWT", "kid": "k1"}, claims: object{
		"iss": "https://oidc.acme.example", "aud": []string{"spiffe://acme.example/orders"}, "sub": "spiffe://acme.example/shop",
	}}
	return map[string]provider{
		"GitHub Actions": {
			id: "github", application: "github-deploy", token: github,
			serves: discovered("https://token.actions.githubusercontent.com", "https://token.actions.githubusercontent.com/.well-known/jwks", jwk("k1", object{"alg": "RS256", "x5t": "x"})),
			refused: map[string]refusal{
				"another repository": {github.with(object{"repository": "evil/shop"}), "application_unknown"},
				"another audience":   {github.with(object{"aud": "https://github.com/acme"}), "audience"},
			},
		},
		"GitLab": {
			id: "gitlab", application: "gitlab-deploy", token: gitlab,
			serves: discovered("https://gitlab.acme.example", "https://gitlab.acme.example/oauth/discovery/keys", jwk("k1", object{"alg": "RS256"})),
			refused: map[string]refusal{
				"another project":  {gitlab.with(object{"project_path": "evil/shop"}), "application_unknown"},
				"another instance": {gitlab.with(object{"iss": "https://gitlab.com"}), "issuer_unknown"},
				"another audience": {gitlab.with(object{"aud": "https://vault.acme.example"}), "audience"},
			},
		},
		"Kubernetes": {
			id: "kubernetes", application: "kubernetes-shop", token: kubernetes,
			refused: map[string]refusal{
				"the API server's":        {kubernetes.with(object{"aud": []string{"https://kubernetes.default.svc.cluster.local"}}), "audience"},
				"another service account": {kubernetes.with(object{"sub": "system:serviceaccount:shop:other"}), "application_unknown"},
				"another cluster":         {kubernetes.with(object{"iss": "https://container.googleapis.com/v1/projects/x"}), "issuer_unknown"},
			},
		},
		"SPIFFE": {
			id: "spiffe", application: "spiffe-shop", token: spiffe,
			serves: discovered("https://oidc.acme.example", "https://oidc.acme.example/keys", ecJWK("k1")),
			refused: map[string]refusal{
				"another audience": {spiffe.with(object{"aud": []string{"spiffe://acme.example/bills"}}), "audience"},
				"another workload": {spiffe.with(object{"sub": "spiffe://acme.example/evil"}), "application_unknown"},
				"another domain":   {spiffe.with(object{"iss": "https://oidc.evil.example"}), "issuer_unknown"},
			},
		},
	}
}

func unnamed() map[string]provider {
	django := made{alg: "HS256", header: object{"typ": "JWT"}, claims: object{"token_type": "access", "jti": "1", "user_id": 1}}
	laravel := made{key: passport(), header: object{"typ": "JWT"}, claims: object{
		"aud": "9c2d7c5e-3f1a-4b7e-9a53-1c8e0f6b2d44", "jti": "1", "iat": 1.7e9 + 0.25, "nbf": 1.7e9 + 0.25, "exp": 4.1e9 + 0.25, "sub": "1", "scopes": []string{"read"},
	}}
	return map[string]provider{
		"Django SimpleJWT": {
			id: "django", token: django,
			refused: map[string]refusal{
				"a refresh token":   {django.with(object{"token_type": "refresh"}), "token_kind"},
				"one that has iss":  {django.with(object{"iss": "django"}), "issuer_unknown"},
				"one for Laravel":   {laravel, "issuer_untrusted"},
				"by another secret": {django.by([]byte("another secret of thirty-two bytes or more")), "signature"},
			},
		},
		"Laravel Passport": {
			id: "passport", application: "passport-shop", token: laravel,
			refused: map[string]refusal{
				"another client":   {laravel.with(object{"aud": "other"}), "application_unknown"},
				"one that has iss": {laravel.with(object{"iss": "https://shop.acme.example"}), "issuer_unknown"},
				"one for Django":   {django, "issuer_untrusted"},
			},
		},
	}
}

// kubernetesKeys answers service accounts only.
func kubernetesKeys(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer of the service account" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	_, _ = w.Write([]byte(keys(jwk("k1", object{"alg": "RS256"}))))
}
