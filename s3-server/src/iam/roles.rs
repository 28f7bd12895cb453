//! Roles: `CreateRole`, `GetRole`, `UpdateRole`, `UpdateAssumeRolePolicy`, `DeleteRole`, `ListRoles`.

use std::collections::BTreeMap;

use super::{
    ask::{Ask, tag_keys},
    boundaries,
    document::{Node, date, group, members, text},
    error::{IamCode, IamResult, refused},
    names::{self, check_name, tag_nodes},
    paging::page,
    policies::check_description,
    policy_document,
    records::{Entity as _, Role},
};

const MAX_NAME_CHARS: usize = 64;
const MAX_TRUST_CHARS: usize = 2048;
const DEFAULT_SESSION_SECONDS: u64 = 3600;
const MAX_SESSION_SECONDS: u64 = 12 * 3600;

pub(super) async fn create(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let name = check_name("RoleName", form.need("RoleName")?, MAX_NAME_CHARS)?;
    let path = names::path(form, "Path")?;
    let account = ask.account_id()?;
    let mut keys = tag_keys(form);
    keys.extend(boundaries::keys(form));
    ask.require_with(&names::arn(account, "role", &path, name), keys)?;
    let trust = form.need("AssumeRolePolicyDocument")?;
    check_trust(trust)?;
    let description = form.get("Description").unwrap_or_default();
    check_description(description)?;
    let mut change = ask.change().await?;
    if ask.directory().find::<Role>(account, name).is_some() {
        return refused(
            IamCode::EntityAlreadyExists,
            format!("Role with name {name} already exists."),
        );
    }
    let boundary = form.get("PermissionsBoundary").map(str::to_owned);
    if let Some(arn) = &boundary {
        boundaries::count(ask, &mut change, arn, 1)?;
    }
    let role = Role {
        id: names::unique_id(&*ask.app.rng, "AROA"),
        name: name.to_owned(),
        path,
        created: ask.now(),
        description: description.to_owned(),
        trust: trust.to_owned(),
        max_session: session_seconds(ask)?.unwrap_or(DEFAULT_SESSION_SECONDS),
        tags: names::tags(form, &[])?,
        policies: BTreeMap::new(),
        attached: Vec::new(),
        boundary,
    };
    change.put(None, role.clone())?;
    change.commit().await?;
    Ok(vec![group("Role", nodes(&role, &role.arn(account), true))])
}

fn session_seconds(ask: &Ask<'_>) -> IamResult<Option<u64>> {
    let seconds = ask.form.number("MaxSessionDuration")?;
    let range = DEFAULT_SESSION_SECONDS..=MAX_SESSION_SECONDS;
    if seconds.is_none_or(|seconds| range.contains(&seconds)) {
        return Ok(seconds);
    }
    let message = "1 validation error detected: Value at 'maxSessionDuration' failed to satisfy constraint: Member must have value between 3600 and 43200";
    refused(IamCode::ValidationError, message)
}

fn check_trust(document: &str) -> IamResult<()> {
    policy_document::check_trust(document)?;
    if policy_document::size(document) <= MAX_TRUST_CHARS {
        return Ok(());
    }
    refused(
        IamCode::LimitExceeded,
        format!("Cannot exceed quota for ACLSizePerRole: {MAX_TRUST_CHARS}"),
    )
}

pub(super) fn get(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let role = ask.found::<Role>(ask.form.need("RoleName")?)?;
    Ok(vec![group("Role", nodes(&role.record, &role.arn, true))])
}

pub(super) async fn update(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let role = ask.found::<Role>(ask.form.need("RoleName")?)?;
    let mut new = role.record.clone();
    if let Some(description) = ask.form.get("Description") {
        check_description(description)?;
        description.clone_into(&mut new.description);
    }
    if let Some(seconds) = session_seconds(ask)? {
        new.max_session = seconds;
    }
    change.put(Some(&role), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn update_trust(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let document = ask.form.need("PolicyDocument")?;
    let mut change = ask.change().await?;
    let role = ask.found::<Role>(ask.form.need("RoleName")?)?;
    check_trust(document)?;
    let mut new = role.record.clone();
    document.clone_into(&mut new.trust);
    change.put(Some(&role), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn delete(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let role = ask.found::<Role>(ask.form.need("RoleName")?)?;
    let conflict = |message| refused(IamCode::DeleteConflict, message);
    if !role.record.attached.is_empty() {
        return conflict("Cannot delete entity, must detach all policies first.");
    }
    if !role.record.policies.is_empty() {
        return conflict("Cannot delete entity, must delete policies first.");
    }
    if let Some(arn) = &role.record.boundary {
        boundaries::count(ask, &mut change, arn, -1)?;
    }
    change.delete(&role);
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) fn list(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let prefix = ask.form.get("PathPrefix").unwrap_or("/");
    let account = ask.account_id()?;
    ask.require(&names::arn(account, "role", prefix, ""))?;
    let all = ask.directory().all::<Role>(account);
    let below = all
        .into_iter()
        .filter(|role| role.record.path.starts_with(prefix));
    let (page, mut of_page) = page(&ask.form, below, |role| {
        role.record.name.to_ascii_lowercase()
    })?;
    let shown = page
        .iter()
        .map(|role| nodes(&role.record, &role.arn, false));
    of_page.insert(0, members("Roles", shown));
    Ok(of_page)
}

fn nodes(role: &Role, arn: &str, with_tags: bool) -> Vec<Node> {
    let mut nodes = vec![
        text("Path", &*role.path),
        text("RoleName", &*role.name),
        text("RoleId", &*role.id),
        text("Arn", arn),
        date("CreateDate", role.created),
        policy_document::node("AssumeRolePolicyDocument", &role.trust),
        text("MaxSessionDuration", role.max_session.to_string()),
    ];
    if !role.description.is_empty() {
        nodes.push(text("Description", &*role.description));
    }
    if let Some(boundary) = role.boundary.as_ref().filter(|_| with_tags) {
        nodes.push(boundaries::node(boundary));
    }
    if with_tags && !role.tags.is_empty() {
        nodes.push(members("Tags", role.tags.iter().map(tag_nodes)));
    }
    nodes
}
