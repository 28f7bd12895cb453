//! `AssumeRoleWithWebIdentity`: a role for whomever an identity provider of its account vouches for, a Kubernetes service account first of all.
//!
//! The request has no signature: the token is all that there is. It is believed once a key of the provider that the *account* knows has signed
//! it, for an audience that the account has listed, and the role's trust policy lets its subject.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use larder_policy::{Context, Request, Requester, Value};
use serde::Deserialize;

use super::{
    ask::Ask,
    directory::Known,
    document::{Node, text},
    error::{IamCode, IamError, IamResult, refused},
    policy_document,
    records::{Provider, Role},
    session::Session,
    sts,
};

const MAX_TOKEN_CHARS: usize = 20_000;
/// How far a provider's clock may be ahead, in seconds.
const LEEWAY_SECONDS: u64 = 60;
const DEFAULT_SECONDS: u64 = 3600;

/// Those whose keys are public: with a shared secret, whoever checks a token could make one.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(default)]
    aud: Audience,
    exp: u64,
    nbf: Option<u64>,
    azp: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Audience {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(all) => all,
        }
    }
}

pub(super) async fn assume_role(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let arn = form.need("RoleArn")?;
    let name = sts::session_name(form)?;
    let token = form.need("WebIdentityToken")?;
    if token.len() > MAX_TOKEN_CHARS {
        return refused(IamCode::ValidationError, "The token is too long.");
    }
    let role = sts::role_of(ask, arn).ok_or_else(denied)?;
    let issuer = unverified_issuer(token)?;
    let provider = provider_of(ask, arn, &issuer)?;
    let claims = verified(ask, token, &issuer).await?;
    let audience = check(&claims, &provider.record, ask.now())?;
    if !trusts(ask, &role, &provider, &claims, &audience, name)? {
        return Err(denied());
    }
    let seconds = sts::duration(form, DEFAULT_SECONDS, role.record.max_session)?;
    let session = Session {
        provider: Some(provider.arn.clone()),
        ..sts::role_session(ask, &role, arn, name, seconds)?
    };
    let mut nodes = sts::role_answer(ask, &role, &session, name)?;
    nodes.push(text("SubjectFromWebIdentityToken", claims.sub));
    nodes.push(text("Audience", audience));
    nodes.push(text("Provider", &*provider.arn));
    Ok(nodes)
}

fn denied() -> IamError {
    IamError::new(
        IamCode::AccessDenied,
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
    )
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> IamError {
    IamError::new(IamCode::InvalidIdentityToken, message)
}

/// Who says that they have made the token: to know whose keys to ask.
fn unverified_issuer(token: &str) -> IamResult<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let malformed = || {
        invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
        )
    };
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed());
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| malformed())?;
    let found: Issuer = serde_json::from_slice(&claims).map_err(|_| malformed())?;
    Ok(found.iss)
}

/// The provider that the role's account has for an issuer.
fn provider_of(
    ask: &Ask<'_>,
    role: &str,
    issuer: &str,
) -> IamResult<std::sync::Arc<Known<Provider>>> {
    let account = role.split(':').nth(4).and_then(|id| id.parse().ok());
    let account = account.ok_or_else(denied)?;
    let (scheme, url) = issuer.split_once("://").unwrap_or(("https", issuer));
    let found = ask
        .directory()
        .find::<Provider>(account, url.trim_end_matches('/'));
    let is_it =
        |provider: &std::sync::Arc<Known<Provider>>| provider.record.is_plain == (scheme == "http");
    found.filter(is_it).ok_or_else(|| {
        invalid(format!(
            "No OpenIDConnect provider found in your account for {issuer}"
        ))
    })
}

/// What a token says, once the issuer's key has proved it.
async fn verified(ask: &Ask<'_>, token: &str, issuer: &str) -> IamResult<Claims> {
    let header =
        decode_header(token).map_err(|_| invalid("The ID Token provided is not a valid JWT."))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(invalid(
            "The signature algorithm of the token is not supported.",
        ));
    }
    let key = ask
        .app
        .issuers
        .key(issuer, header.kid.as_deref(), &*ask.app.clock)
        .await?;
    let key = DecodingKey::from_jwk(&key)
        .map_err(|_| invalid("The key of the identity provider can't be used."))?;
    let mut validation = Validation::new(header.alg);
    // Looked at below, by the server's own clock.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = decode::<Claims>(token, &key, &validation);
    let claims = decoded
        .map_err(|_| invalid("The ID Token's signature is invalid, or a claim is missing."))?
        .claims;
    if claims.iss != issuer {
        return Err(invalid("The issuer of the token is ambiguous."));
    }
    Ok(claims)
}

/// The audience that the token is for, if the account has listed it, and the token's time has come and not passed.
fn check(claims: &Claims, provider: &Provider, now: u64) -> IamResult<String> {
    if claims.exp <= now {
        return refused(
            IamCode::ExpiredTokenException,
            "Token expired: current date/time must be before the expiration date/time",
        );
    }
    if claims.nbf.is_some_and(|from| from > now + LEEWAY_SECONDS) {
        return Err(invalid("Token is not valid yet."));
    }
    let audiences = claims.azp.iter().chain(claims.aud.all());
    let mut listed = audiences.filter(|audience| provider.clients.contains(audience));
    let found = listed.next().cloned();
    found.ok_or_else(|| invalid("Incorrect token audience"))
}

fn trusts(
    ask: &Ask<'_>,
    role: &Known<Role>,
    provider: &Known<Provider>,
    claims: &Claims,
    audience: &str,
    name: &str,
) -> IamResult<bool> {
    let trust = policy_document::check_trust(&role.record.trust).map_err(IamError::internal)?;
    let url = &provider.record.url;
    let mut context = Context::new();
    ask.fill(&mut context);
    context.set(format!("{url}:aud"), Value::from(audience.to_owned()));
    context.set(format!("{url}:sub"), Value::from(claims.sub.clone()));
    context.set("aws:FederatedProvider", provider.arn.as_str());
    context.set("sts:RoleSessionName", name);
    let request = Request {
        requester: Requester::Federated(&provider.arn),
        action: "sts:AssumeRoleWithWebIdentity",
        resource: &role.arn,
        context: &context,
    };
    Ok(trust.decide(&request).is_allowed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        serde_json::from_str(json).unwrap()
    }

    fn provider(clients: &[&str]) -> Provider {
        Provider {
            url: "oidc.example".to_owned(),
            is_plain: false,
            created: 0,
            clients: clients.iter().map(|&client| client.to_owned()).collect(),
            thumbprints: Vec::new(),
            tags: Vec::new(),
        }
    }

    #[test]
    fn times_and_audiences_are_checked() {
        let one = claims(r#"{"iss":"i","sub":"s","aud":"a","exp":100,"nbf":10}"#);
        assert_eq!(check(&one, &provider(&["b", "a"]), 50).unwrap(), "a");
        assert_eq!(
            check(&one, &provider(&["b"]), 50).unwrap_err().code(),
            IamCode::InvalidIdentityToken
        );
        assert_eq!(
            check(&one, &provider(&["a"]), 100).unwrap_err().code(),
            IamCode::ExpiredTokenException
        );
        let early = claims(r#"{"iss":"i","sub":"s","aud":["x","a"],"exp":1000,"nbf":200}"#);
        assert!(check(&early, &provider(&["a"]), 50).is_err());
        assert_eq!(check(&early, &provider(&["a"]), 150).unwrap(), "a");
        let none = claims(r#"{"iss":"i","sub":"s","exp":100}"#);
        assert!(check(&none, &provider(&["a"]), 50).is_err());
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in [
            "",
            "a",
            "a.b",
            "a.b.c",
            "a.e30.c",
            "a.b.c.d",
            "..",
            "a.eyJpc3MiOjF9.c",
        ] {
            let error = unverified_issuer(text).unwrap_err();
            assert_eq!(error.code(), IamCode::InvalidIdentityToken, "{text}");
        }
        assert_eq!(
            unverified_issuer("x.eyJpc3MiOiJodHRwczovL2EifQ.y").unwrap(),
            "https://a"
        );
    }
}
