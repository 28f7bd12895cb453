//! IAM and STS on the same endpoint as S3: AWS's Query protocol, users and what belongs to them.
//!
//! A request is one of these where it is about no bucket and has a form: in the body of a `POST /`, or, with `Action` and `Version`, in
//! the query of a `GET /`. [`Directory`] holds all identities; each action is a function of one of the files here, which says what the
//! caller must be allowed ([`ask::Ask::require`]) and changes records through [`directory::Change`].
//!
//! Invariants: an action is about the caller's own account and no other; a secret is sealed before it is stored, and shown once; nothing is
//! answered before it is durable.

mod access_keys;
mod api;
mod ask;
mod boundaries;
mod builtin;
mod directory;
mod document;
mod error;
mod form;
mod groups;
mod holder;
mod inline;
mod issuers;
mod keys;
mod member;
mod names;
mod paging;
mod policies;
mod policy_document;
mod providers;
mod records;
mod roles;
mod session;
mod sts;
mod tags;
mod users;
mod web_identity;

use http::{HeaderValue, Method, header, request::Parts};
use sha2::{Digest as _, Sha256};

pub(crate) use directory::Directory;
pub(crate) use error::{IamError, IamResult, expired, invalid_token};
pub(crate) use issuers::Issuers;
pub(crate) use keys::{Key, keep_uses, reseal_keys};
pub(crate) use member::{Member, Principal};
pub(crate) use records::{Role, User};
pub(crate) use session::{Session, SessionOf};

use api::Api;
use ask::Ask;
use document::Node;
use error::{IamCode, refused};
use form::Form;

use crate::{
    app::App,
    audit::Trail,
    http::{Incoming, Peer, Response},
    reply,
    route::{self, Target},
    sigv4,
};

/// The longest form: the longest token of an identity provider, or the longest policy all of whose characters are encoded.
const MAX_BODY_BYTES: usize = 256 << 10;
/// How often a change is tried.
const ATTEMPTS: usize = 4;
const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// A request that was answered, for metrics.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The action; `unknown` for none that there is.
    pub(crate) operation: &'static str,
    /// What was wrong, if anything was.
    pub(crate) error: Option<IamError>,
    /// The answer.
    pub(crate) response: Response,
}

/// Whether a request is for [`answer`]: none that S3 has looks so.
pub(crate) fn is_query(app: &App, parts: &Parts) -> bool {
    let has_form = match parts.method {
        Method::POST => is_form(parts),
        Method::GET => names_action(parts.uri.query().unwrap_or_default()),
        _ => false,
    };
    let target = || route::target(&parts.uri, &parts.headers, &app.domains);
    has_form && matches!(target(), Ok(Target::Service))
}

fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case(FORM_TYPE)
}

fn names_action(query: &str) -> bool {
    let has = |name: &str| {
        query.split('&').any(|pair| {
            pair.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('='))
        })
    };
    has("Action") && has("Version")
}

/// Answers a request; errors are answers too.
pub(crate) async fn answer(
    app: &App,
    parts: &Parts,
    (peer, trail): (&Peer, &Trail),
    body: &mut Incoming,
    request_id: &str,
) -> Answered {
    let mut seen = Seen {
        operation: "unknown",
        api: Api::Iam,
    };
    let outcome = dispatch(app, parts, (peer, trail), body, &mut seen).await;
    let (document, error) = match outcome {
        Ok(nodes) => {
            let document = document::answer(seen.api, seen.operation, &nodes, request_id);
            (document, None)
        }
        Err(error) => (document::refusal(seen.api, &error, request_id), Some(error)),
    };
    let response = response(document, error.as_ref());
    Answered {
        operation: seen.operation,
        error,
        response,
    }
}

/// A refusal of a request that was not read.
pub(crate) fn refusal(error: IamError, request_id: &str) -> Answered {
    let document = document::refusal(Api::Iam, &error, request_id);
    Answered {
        operation: "unknown",
        response: response(document, Some(&error)),
        error: Some(error),
    }
}

fn response(document: String, error: Option<&IamError>) -> Response {
    let mut response = reply::xml(document);
    if let Some(error) = error {
        *response.status_mut() = error.code().status();
    }
    let kind = HeaderValue::from_static("text/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// What is found out about a request while it is answered.
struct Seen {
    operation: &'static str,
    api: Api,
}

async fn dispatch(
    app: &App,
    parts: &Parts,
    (peer, trail): (&Peer, &Trail),
    body: &mut Incoming,
    seen: &mut Seen,
) -> IamResult<Vec<Node>> {
    let body = read(body).await?;
    let query = parts.uri.query().unwrap_or_default();
    let form = if parts.method == Method::GET {
        Form::parse(query.as_bytes())?
    } else {
        Form::parse(&body)?
    };
    let Some(action) = form.get("Action") else {
        return refused(
            IamCode::MissingAction,
            "The request is missing an action or a required parameter.",
        );
    };
    let version = form.get("Version");
    let api = Api::of_version(version);
    let known = api.and_then(|api| {
        let name = actions(api).iter().find(|name| **name == action)?;
        Some((api, *name))
    });
    let Some((api, name)) = known else {
        let version = version.unwrap_or_default();
        let message = format!("Could not find operation {action} for version {version}");
        return refused(IamCode::InvalidAction, message);
    };
    (seen.api, seen.operation) = (api, name);
    let hash = hex::encode(Sha256::digest(&body));
    let caller = app.authenticate_query(api.service(), parts, &hash)?;
    let (access_key, how) = sigv4::claimed_access_key(parts).unwrap_or_default();
    trail.asked_by(&caller, &access_key, how);
    let ask = Ask {
        app,
        store: app.store()?,
        action: format!("{}:{name}", api.service().name()),
        form,
        caller,
        parts,
        peer,
        trail,
    };
    match api {
        Api::Iam => changing(name, &ask).await,
        Api::Sts => Box::pin(sts(name, &ask)).await,
    }
}

/// Answers a request to IAM, again where it failed because a record is not as it was read. Healing writes records again, after a crash most of
/// all; nothing was changed then, and all was read anew.
async fn changing(name: &str, ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match Box::pin(iam(name, ask)).await {
            Err(error)
                if error.code() == IamCode::ConcurrentModification && attempts < ATTEMPTS => {}
            answer => return answer,
        }
    }
}

async fn read(body: &mut Incoming) -> IamResult<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(data) = body.next().await {
        let data = data?;
        if all.len() + data.len() > MAX_BODY_BYTES {
            let message = format!("The request has more than {MAX_BODY_BYTES} bytes.");
            return refused(IamCode::RequestEntityTooLarge, message);
        }
        all.extend_from_slice(&data);
    }
    Ok(all)
}

fn actions(api: Api) -> &'static [&'static str] {
    match api {
        Api::Iam => &IAM_ACTIONS,
        Api::Sts => &STS_ACTIONS,
    }
}

macro_rules! actions {
    ($list:ident, $run:ident, $ask:ident: $($name:literal => $answer:expr,)+) => {
        const $list: [&str; [$($name),+].len()] = [$($name),+];

        async fn $run(name: &str, $ask: &Ask<'_>) -> IamResult<Vec<Node>> {
            match name {
                $($name => $answer,)+
                _ => Err(IamError::internal(format!("{name} is in no table"))),
            }
        }
    };
}

actions! { IAM_ACTIONS, iam, ask:
    "AddClientIDToOpenIDConnectProvider" => providers::add_client(ask).await,
    "AddUserToGroup" => groups::add_user(ask).await,
    "AttachGroupPolicy" => policies::attach::<records::Group>(ask).await,
    "AttachRolePolicy" => policies::attach::<Role>(ask).await,
    "AttachUserPolicy" => policies::attach::<User>(ask).await,
    "CreateAccessKey" => access_keys::create(ask).await,
    "CreateGroup" => groups::create(ask).await,
    "CreateOpenIDConnectProvider" => providers::create(ask).await,
    "CreatePolicy" => policies::create(ask).await,
    "CreatePolicyVersion" => policies::create_version(ask).await,
    "CreateRole" => roles::create(ask).await,
    "CreateUser" => users::create(ask).await,
    "DeleteAccessKey" => access_keys::delete(ask).await,
    "DeleteGroup" => groups::delete(ask).await,
    "DeleteGroupPolicy" => inline::delete::<records::Group>(ask).await,
    "DeleteLoginProfile" => users::no_login_profile(ask),
    "DeleteOpenIDConnectProvider" => providers::delete(ask).await,
    "DeletePolicy" => policies::delete(ask).await,
    "DeletePolicyVersion" => policies::delete_version(ask).await,
    "DeleteRole" => roles::delete(ask).await,
    "DeleteRolePermissionsBoundary" => boundaries::delete::<Role>(ask).await,
    "DeleteRolePolicy" => inline::delete::<Role>(ask).await,
    "DeleteUser" => users::delete(ask).await,
    "DeleteUserPermissionsBoundary" => boundaries::delete::<User>(ask).await,
    "DeleteUserPolicy" => inline::delete::<User>(ask).await,
    "DetachGroupPolicy" => policies::detach::<records::Group>(ask).await,
    "DetachRolePolicy" => policies::detach::<Role>(ask).await,
    "DetachUserPolicy" => policies::detach::<User>(ask).await,
    "GetAccessKeyLastUsed" => access_keys::last_used(ask),
    "GetGroup" => groups::get(ask),
    "GetGroupPolicy" => inline::get::<records::Group>(ask),
    "GetLoginProfile" => users::no_login_profile(ask),
    "GetOpenIDConnectProvider" => providers::get(ask),
    "GetPolicy" => policies::get(ask),
    "GetPolicyVersion" => policies::get_version(ask),
    "GetRole" => roles::get(ask),
    "GetRolePolicy" => inline::get::<Role>(ask),
    "GetUser" => users::get(ask),
    "GetUserPolicy" => inline::get::<User>(ask),
    "ListAccessKeys" => access_keys::list(ask),
    "ListAttachedGroupPolicies" => policies::list_attached::<records::Group>(ask),
    "ListAttachedRolePolicies" => policies::list_attached::<Role>(ask),
    "ListAttachedUserPolicies" => policies::list_attached::<User>(ask),
    "ListEntitiesForPolicy" => policies::list_entities(ask),
    "ListGroupPolicies" => inline::list::<records::Group>(ask),
    "ListGroups" => groups::list(ask),
    "ListGroupsForUser" => users::list_groups(ask),
    "ListInstanceProfilesForRole" => users::list_nothing(ask, "InstanceProfiles"),
    "ListMFADevices" => users::list_nothing(ask, "MFADevices"),
    "ListOpenIDConnectProviders" => providers::list(ask),
    "ListPolicies" => policies::list(ask),
    "ListPolicyTags" => policies::list_tags(ask),
    "ListPolicyVersions" => policies::list_versions(ask),
    "ListRolePolicies" => inline::list::<Role>(ask),
    "ListRoleTags" => tags::list::<Role>(ask),
    "ListRoles" => roles::list(ask),
    "ListSSHPublicKeys" => users::list_nothing(ask, "SSHPublicKeys"),
    "ListServiceSpecificCredentials" => users::list_nothing(ask, "ServiceSpecificCredentials"),
    "ListSigningCertificates" => users::list_nothing(ask, "Certificates"),
    "ListUserPolicies" => inline::list::<User>(ask),
    "ListUserTags" => tags::list::<User>(ask),
    "ListUsers" => users::list(ask),
    "ListVirtualMFADevices" => users::list_nothing(ask, "VirtualMFADevices"),
    "PutGroupPolicy" => inline::put::<records::Group>(ask).await,
    "PutRolePermissionsBoundary" => boundaries::put::<Role>(ask).await,
    "PutRolePolicy" => inline::put::<Role>(ask).await,
    "PutUserPermissionsBoundary" => boundaries::put::<User>(ask).await,
    "PutUserPolicy" => inline::put::<User>(ask).await,
    "RemoveClientIDFromOpenIDConnectProvider" => providers::remove_client(ask).await,
    "RemoveUserFromGroup" => groups::remove_user(ask).await,
    "SetDefaultPolicyVersion" => policies::set_default(ask).await,
    "TagPolicy" => policies::tag(ask).await,
    "TagRole" => tags::add::<Role>(ask).await,
    "TagUser" => tags::add::<User>(ask).await,
    "UntagPolicy" => policies::untag(ask).await,
    "UntagRole" => tags::remove::<Role>(ask).await,
    "UntagUser" => tags::remove::<User>(ask).await,
    "UpdateAccessKey" => access_keys::update(ask).await,
    "UpdateAssumeRolePolicy" => roles::update_trust(ask).await,
    "UpdateGroup" => groups::update(ask).await,
    "UpdateOpenIDConnectProviderThumbprint" => providers::update_thumbprints(ask).await,
    "UpdateRole" => roles::update(ask).await,
    "UpdateUser" => users::update(ask).await,
}

actions! { STS_ACTIONS, sts, ask:
    "AssumeRole" => sts::assume_role(ask),
    "AssumeRoleWithWebIdentity" => web_identity::assume_role(ask).await,
    "GetCallerIdentity" => sts::caller_identity(ask),
    "GetSessionToken" => sts::session_token(ask),
}
