//! Kinds that are asked, not kept: reviews of tokens and of access.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::{
    api::{Answer, Api},
    discovery::QUESTIONS,
    failure::Failure,
    json::{text, texts},
    rbac::{Attributes, User, allows},
    request::{Request, Target},
};

/// The answer where a path is one of a question.
pub(crate) fn answer(
    api: &Api,
    user: &User,
    target: &Target,
    request: &Request,
) -> Option<Result<Answer, Failure>> {
    let asked = QUESTIONS
        .iter()
        .find(|one| one.0 == target.group && one.1 == target.plural && target.version == "v1")?;
    if request.method != http::Method::POST {
        return Some(Err(Failure::method_not_allowed()));
    }
    let body = &request.body;
    let status = match asked.2 {
        "TokenReview" => token_review(api, body),
        "SelfSubjectReview" => json!({"userInfo": {"username": user.name, "groups": user.groups}}),
        "SelfSubjectAccessReview" => access_review(api, user, body),
        _ => {
            let groups = texts(body, "/spec/groups")
                .into_iter()
                .map(str::to_owned)
                .collect();
            access_review(
                api,
                &User::impersonated(text(body, "/spec/user"), groups),
                body,
            )
        }
    };
    let spec = body.get("spec").cloned().unwrap_or_else(|| json!({}));
    Some(Ok(Answer::Json(
        201,
        json!({"kind": asked.2, "apiVersion": format!("{}/v1", asked.0), "metadata": {}, "spec": spec, "status": status}),
    )))
}

fn token_review(api: &Api, body: &Value) -> Value {
    let audience = texts(body, "/spec/audiences").first().copied();
    match api
        .signer
        .check(&api.state.lock(), text(body, "/spec/token"), audience)
    {
        Ok(user) => {
            json!({"authenticated": true, "user": {"username": user.name, "groups": user.groups}, "audiences": texts(body, "/spec/audiences")})
        }
        Err(_) => json!({"authenticated": false, "error": "invalid bearer token"}),
    }
}

fn access_review(api: &Api, user: &User, body: &Value) -> Value {
    let of = |field: &str| text(body, &format!("/spec/resourceAttributes/{field}")).to_owned();
    let resource = [of("resource"), of("subresource")]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/");
    let what = Attributes {
        verb: of("verb"),
        group: of("group"),
        resource,
        namespace: of("namespace"),
        name: of("name"),
    };
    json!({"allowed": !api.enforce.load(Ordering::Relaxed) || allows(&api.state.lock(), user, &what)})
}
