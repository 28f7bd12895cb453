//! Managed policies: `CreatePolicy`, its versions, `ListPolicies`, `ListEntitiesForPolicy`.

use std::sync::Arc;

use super::{
    ask::{Ask, Keys, tag_keys},
    builtin::{self, Builtin},
    directory::Known,
    document::{Node, date, group, members, text},
    error::{IamCode, IamError, IamResult, refused},
    holder::{Bounded, Holder},
    names::{self, check_name, tag_nodes},
    paging::page,
    policy_document,
    records::{Group, ManagedPolicy, PolicyVersion, Role, User},
    tags,
};

/// What roles and users are shown by, where a policy lists whom it concerns.
const OF_ROLES: [&str; 2] = ["RoleName", "RoleId"];
const OF_USERS: [&str; 2] = ["UserName", "UserId"];

const MAX_NAME_CHARS: usize = 128;
const MAX_VERSIONS: usize = 5;
const MAX_CHARS: usize = 6144;
const MAX_DESCRIPTION_CHARS: usize = 1000;

/// The policy of an ARN of the caller's account.
///
/// # Errors
/// [`IamCode::NoSuchEntity`].
pub(super) fn of_arn(ask: &Ask<'_>, arn: &str) -> IamResult<Arc<Known<ManagedPolicy>>> {
    let name = arn.rsplit('/').next().unwrap_or_default();
    let found = ask
        .directory()
        .find::<ManagedPolicy>(ask.account_id()?, name);
    found
        .filter(|policy| policy.arn == arn)
        .ok_or_else(|| missing(arn))
}

fn missing(arn: &str) -> IamError {
    let message = format!("Policy {arn} was not found.");
    IamError::new(IamCode::NoSuchEntity, message)
}

/// The policy of `PolicyArn`, if the caller may do this with it. Those that are built in can't be changed.
fn own(ask: &Ask<'_>) -> IamResult<Arc<Known<ManagedPolicy>>> {
    let arn = ask.form.need("PolicyArn")?;
    ask.require(arn)?;
    if builtin::find(arn).is_some() {
        let message = format!("Policy {arn} is one of the server's own and can't be changed.");
        return refused(IamCode::AccessDenied, message);
    }
    of_arn(ask, arn)
}

fn check_size(document: &str) -> IamResult<()> {
    policy_document::check_identity(document)?;
    if policy_document::size(document) <= MAX_CHARS {
        return Ok(());
    }
    refused(
        IamCode::LimitExceeded,
        format!("Cannot exceed quota for PolicySize: {MAX_CHARS}"),
    )
}

pub(super) async fn create(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let name = check_name("PolicyName", form.need("PolicyName")?, MAX_NAME_CHARS)?;
    let path = names::path(form, "Path")?;
    let account = ask.account_id()?;
    let arn = names::arn(account, "policy", &path, name);
    ask.require_with(&arn, tag_keys(form))?;
    let document = form.need("PolicyDocument")?;
    check_size(document)?;
    let description = form.get("Description").unwrap_or_default();
    check_description(description)?;
    let mut change = ask.change().await?;
    if ask
        .directory()
        .find::<ManagedPolicy>(account, name)
        .is_some()
    {
        return refused(
            IamCode::EntityAlreadyExists,
            format!("A policy called {name} already exists. Duplicate names are not allowed."),
        );
    }
    let now = ask.now();
    let new = ManagedPolicy {
        id: names::unique_id(&*ask.app.rng, "ANPA"),
        name: name.to_owned(),
        path,
        created: now,
        updated: now,
        description: description.to_owned(),
        tags: names::tags(form, &[])?,
        versions: vec![PolicyVersion {
            number: 1,
            document: document.to_owned(),
            created: now,
        }],
        default: 1,
        next: 2,
        attachments: 0,
        boundaries: 0,
    };
    change.put(None, new.clone())?;
    change.commit().await?;
    Ok(vec![group("Policy", nodes(&new, &arn, true))])
}

pub(super) fn check_description(description: &str) -> IamResult<()> {
    if description.chars().count() <= MAX_DESCRIPTION_CHARS {
        return Ok(());
    }
    let message = format!(
        "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to {MAX_DESCRIPTION_CHARS}"
    );
    refused(IamCode::ValidationError, message)
}

pub(super) fn get(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let arn = ask.form.need("PolicyArn")?;
    ask.require(arn)?;
    let shown = match builtin::find(arn) {
        Some(policy) => builtin_nodes(ask, policy)?,
        None => nodes(&of_arn(ask, arn)?.record, arn, true),
    };
    Ok(vec![group("Policy", shown)])
}

pub(super) async fn delete(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let policy = own(ask)?;
    let conflict = |message| refused(IamCode::DeleteConflict, message);
    if policy.record.attachments > 0 || policy.record.boundaries > 0 {
        return conflict("Cannot delete a policy attached to entities.");
    }
    if policy.record.versions.len() > 1 {
        return conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
        );
    }
    change.delete(&policy);
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) fn list(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let prefix = form.get("PathPrefix").unwrap_or("/");
    let account = ask.account_id()?;
    ask.require(&names::arn(account, "policy", prefix, ""))?;
    let only_attached = form.flag("OnlyAttached")?.unwrap_or(false);
    let as_boundary = form.get("PolicyUsageFilter") == Some("PermissionsBoundary");
    let scope = form.get("Scope").unwrap_or("All");
    let mut shown = Vec::new();
    if scope != "AWS" {
        for policy in ask.directory().all::<ManagedPolicy>(account) {
            let record = &policy.record;
            let count = if as_boundary {
                record.boundaries
            } else {
                record.attachments
            };
            let is_used = count > 0 || !only_attached && !as_boundary;
            if is_used && record.path.starts_with(prefix) {
                shown.push((policy.arn.clone(), nodes(record, &policy.arn, false)));
            }
        }
    }
    if scope != "Local" && prefix == "/" {
        for policy in builtin::all() {
            if !only_attached && !as_boundary || !entities_with(ask, &policy.arn())?.is_empty() {
                shown.push((policy.arn(), builtin_nodes(ask, policy)?));
            }
        }
    }
    shown.sort_by(|a, b| a.0.cmp(&b.0));
    let (page, mut of_page) = page(form, shown.into_iter(), |(arn, _)| arn.clone())?;
    let page = page.into_iter().map(|(_, nodes)| nodes);
    of_page.insert(0, members("Policies", page));
    Ok(of_page)
}

pub(super) async fn create_version(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let document = ask.form.need("PolicyDocument")?;
    let is_default = ask.form.flag("SetAsDefault")?.unwrap_or(false);
    let mut change = ask.change().await?;
    let policy = own(ask)?;
    check_size(document)?;
    let mut new = policy.record.clone();
    if new.versions.len() >= MAX_VERSIONS {
        return refused(
            IamCode::LimitExceeded,
            "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.",
        );
    }
    let version = PolicyVersion {
        number: new.next,
        document: document.to_owned(),
        created: ask.now(),
    };
    new.next += 1;
    new.updated = version.created;
    if is_default {
        new.default = version.number;
    }
    new.versions.push(version.clone());
    change.put(Some(&policy), new.clone())?;
    change.commit().await?;
    Ok(vec![group(
        "PolicyVersion",
        version_nodes(&version, new.default, false),
    )])
}

pub(super) fn get_version(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let arn = ask.form.need("PolicyArn")?;
    ask.require(arn)?;
    let wanted = ask.form.need("VersionId")?;
    let shown = match builtin::find(arn) {
        Some(policy) if wanted == "v1" => version_nodes(&policy.version(), 1, true),
        Some(_) => return Err(no_version(arn, wanted)),
        None => {
            let policy = of_arn(ask, arn)?;
            let version = policy.record.versions.iter().find(|v| is_called(v, wanted));
            let version = version.ok_or_else(|| no_version(arn, wanted))?;
            version_nodes(version, policy.record.default, true)
        }
    };
    Ok(vec![group("PolicyVersion", shown)])
}

pub(super) fn list_versions(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let arn = ask.form.need("PolicyArn")?;
    ask.require(arn)?;
    let (mut versions, default) = if let Some(policy) = builtin::find(arn) {
        (vec![policy.version()], 1)
    } else {
        let policy = of_arn(ask, arn)?;
        (policy.record.versions.clone(), policy.record.default)
    };
    versions.sort_by_key(|version| version.number);
    let key = |version: &PolicyVersion| format!("{:020}", version.number);
    let (page, mut nodes) = page(&ask.form, versions.into_iter(), key)?;
    let shown = page
        .iter()
        .map(|version| version_nodes(version, default, false));
    nodes.insert(0, members("Versions", shown));
    Ok(nodes)
}

pub(super) async fn set_default(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let policy = own(ask)?;
    let wanted = ask.form.need("VersionId")?;
    let version = policy.record.versions.iter().find(|v| is_called(v, wanted));
    let number = version
        .ok_or_else(|| no_version(&policy.arn, wanted))?
        .number;
    let mut new = policy.record.clone();
    (new.default, new.updated) = (number, ask.now());
    change.put(Some(&policy), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn delete_version(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let policy = own(ask)?;
    let wanted = ask.form.need("VersionId")?;
    let at = policy
        .record
        .versions
        .iter()
        .position(|v| is_called(v, wanted));
    let at = at.ok_or_else(|| no_version(&policy.arn, wanted))?;
    if policy.record.versions[at].number == policy.record.default {
        return refused(
            IamCode::DeleteConflict,
            "Cannot delete the default version of a policy.",
        );
    }
    let mut new = policy.record.clone();
    new.versions.remove(at);
    new.updated = ask.now();
    change.put(Some(&policy), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

fn is_called(version: &PolicyVersion, name: &str) -> bool {
    format!("v{}", version.number) == name
}

fn no_version(arn: &str, version: &str) -> IamError {
    let message = format!("Policy {arn} version {version} does not exist or is not attachable.");
    IamError::new(IamCode::NoSuchEntity, message)
}

/// The element that holders of a kind go to, and what is shown of each.
type Shown = Vec<(&'static str, Vec<Node>)>;

/// Adds those holders of a kind that `holds` picks.
fn show_holders<T: Holder>(
    ask: &Ask<'_>,
    list: &'static str,
    [name, id]: [&'static str; 2],
    holds: impl Fn(&T) -> bool,
    all: &mut Shown,
) -> IamResult<()> {
    for holder in ask.directory().all::<T>(ask.account_id()?) {
        let record = &holder.record;
        if holds(record) {
            all.push((list, vec![text(name, record.name()), text(id, record.id())]));
        }
    }
    Ok(())
}

/// Whoever has a policy attached.
fn entities_with(ask: &Ask<'_>, arn: &str) -> IamResult<Shown> {
    fn has<T: Holder>(arn: &str) -> impl Fn(&T) -> bool {
        move |holder| holder.attached().iter().any(|attached| attached == arn)
    }
    let mut all = Vec::new();
    let of_groups = ["GroupName", "GroupId"];
    show_holders(ask, "PolicyGroups", of_groups, has::<Group>(arn), &mut all)?;
    show_holders(ask, "PolicyRoles", OF_ROLES, has::<Role>(arn), &mut all)?;
    show_holders(ask, "PolicyUsers", OF_USERS, has::<User>(arn), &mut all)?;
    Ok(all)
}

/// Whoever has a policy as its boundary.
fn bounded_by(ask: &Ask<'_>, arn: &str) -> IamResult<Shown> {
    fn is_within<T: Bounded>(arn: &str) -> impl Fn(&T) -> bool {
        move |holder| holder.boundary().is_some_and(|boundary| boundary == arn)
    }
    let mut all = Vec::new();
    show_holders(
        ask,
        "PolicyRoles",
        OF_ROLES,
        is_within::<Role>(arn),
        &mut all,
    )?;
    show_holders(
        ask,
        "PolicyUsers",
        OF_USERS,
        is_within::<User>(arn),
        &mut all,
    )?;
    Ok(all)
}

pub(super) fn list_entities(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let arn = form.need("PolicyArn")?;
    ask.require(arn)?;
    if builtin::find(arn).is_none() {
        of_arn(ask, arn)?;
    }
    let all = match form.get("PolicyUsageFilter") {
        Some("PermissionsBoundary") => bounded_by(ask, arn)?,
        _ => entities_with(ask, arn)?,
    };
    let wanted = match form.get("EntityFilter") {
        Some("User") => "PolicyUsers",
        Some("Group") => "PolicyGroups",
        Some("Role") => "PolicyRoles",
        _ => "",
    };
    let all = all
        .into_iter()
        .filter(|(list, _)| wanted.is_empty() || *list == wanted);
    let numbered = all.enumerate();
    let (page, mut nodes) = page(form, numbered, |(number, _)| format!("{number:09}"))?;
    for list in ["PolicyGroups", "PolicyUsers", "PolicyRoles"] {
        let of_list = page.iter().filter(|(_, (of, _))| *of == list);
        nodes.push(members(list, of_list.map(|(_, (_, nodes))| nodes.clone())));
    }
    Ok(nodes)
}

pub(super) async fn tag(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    ask.require_with(ask.form.need("PolicyArn")?, tag_keys(&ask.form))?;
    let policy = own(ask)?;
    let mut new = policy.record.clone();
    new.tags = names::tags(&ask.form, &policy.record.tags)?;
    change.put(Some(&policy), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn untag(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let policy = own(ask)?;
    let mut new = policy.record.clone();
    new.tags = names::without_tags(&ask.form, &policy.record.tags);
    change.put(Some(&policy), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) fn list_tags(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    tags::listed(ask, &own(ask)?.record.tags)
}

pub(super) async fn attach<T: Holder>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    const MAX_ATTACHED: usize = 10;
    let arn = ask.form.need("PolicyArn")?;
    let mut change = ask.change().await?;
    let holder = ask.found_with::<T>(ask.form.need(T::PARAMETER)?, policy_key(arn))?;
    let is_builtin = builtin::find(arn).is_some();
    let policy = if is_builtin {
        None
    } else {
        Some(of_arn(ask, arn).map_err(|_| {
            let message = format!("Policy {arn} does not exist or is not attachable.");
            IamError::new(IamCode::NoSuchEntity, message)
        })?)
    };
    if holder
        .record
        .attached()
        .iter()
        .any(|attached| attached == arn)
    {
        return Ok(Vec::new());
    }
    if holder.record.attached().len() >= MAX_ATTACHED {
        let word = T::WORD;
        let message = format!("Cannot exceed quota for PoliciesPer{word}: {MAX_ATTACHED}");
        return refused(IamCode::LimitExceeded, message);
    }
    let mut new = holder.record.clone();
    new.attached_mut().push(arn.to_owned());
    change.put(Some(&holder), new)?;
    if let Some(policy) = policy {
        let mut counted = policy.record.clone();
        counted.attachments += 1;
        change.put(Some(&policy), counted)?;
    }
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn detach<T: Holder>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let arn = ask.form.need("PolicyArn")?;
    let mut change = ask.change().await?;
    let holder = ask.found_with::<T>(ask.form.need(T::PARAMETER)?, policy_key(arn))?;
    let mut new = holder.record.clone();
    new.attached_mut().retain(|attached| attached != arn);
    if new.attached().len() == holder.record.attached().len() {
        return Err(missing(arn));
    }
    change.put(Some(&holder), new)?;
    if let Ok(policy) = of_arn(ask, arn) {
        let mut counted = policy.record.clone();
        counted.attachments = counted.attachments.saturating_sub(1);
        change.put(Some(&policy), counted)?;
    }
    change.commit().await?;
    Ok(Vec::new())
}

fn policy_key<'a>(arn: &str) -> Keys<'a> {
    vec![("iam:PolicyARN".to_owned(), arn.to_owned().into())]
}

pub(super) fn list_attached<T: Holder>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let holder = ask.found::<T>(ask.form.need(T::PARAMETER)?)?;
    let prefix = ask.form.get("PathPrefix").unwrap_or("/");
    let mut all: Vec<&String> = holder.record.attached().iter().collect();
    all.retain(|arn| {
        let path = arn.split_once(":policy").map_or("/", |(_, path)| path);
        path.starts_with(prefix)
    });
    all.sort();
    let (page, mut nodes) = page(&ask.form, all.into_iter(), |arn| (*arn).clone())?;
    let shown = page.into_iter().map(|arn| {
        let name = arn.rsplit('/').next().unwrap_or_default();
        vec![text("PolicyName", name), text("PolicyArn", arn)]
    });
    nodes.insert(0, members("AttachedPolicies", shown));
    Ok(nodes)
}

fn nodes(record: &ManagedPolicy, arn: &str, with_tags: bool) -> Vec<Node> {
    let mut nodes = vec![
        text("PolicyName", &*record.name),
        text("PolicyId", &*record.id),
        text("Arn", arn),
        text("Path", &*record.path),
        text("DefaultVersionId", format!("v{}", record.default)),
        text("AttachmentCount", record.attachments.to_string()),
        text(
            "PermissionsBoundaryUsageCount",
            record.boundaries.to_string(),
        ),
        text("IsAttachable", "true"),
        date("CreateDate", record.created),
        date("UpdateDate", record.updated),
    ];
    if with_tags && !record.description.is_empty() {
        nodes.push(text("Description", &*record.description));
    }
    if with_tags && !record.tags.is_empty() {
        nodes.push(members("Tags", record.tags.iter().map(tag_nodes)));
    }
    nodes
}

fn builtin_nodes(ask: &Ask<'_>, policy: &Builtin) -> IamResult<Vec<Node>> {
    let arn = policy.arn();
    let attachments = entities_with(ask, &arn)?.len();
    let boundaries = bounded_by(ask, &arn)?.len();
    Ok(vec![
        text("PolicyName", policy.name),
        text("PolicyId", policy.id()),
        text("Arn", arn),
        text("Path", "/"),
        text("DefaultVersionId", "v1"),
        text("AttachmentCount", attachments.to_string()),
        text("PermissionsBoundaryUsageCount", boundaries.to_string()),
        text("IsAttachable", "true"),
        text("Description", policy.description),
        date("CreateDate", 0),
        date("UpdateDate", 0),
    ])
}

fn version_nodes(version: &PolicyVersion, default: u64, with_document: bool) -> Vec<Node> {
    let mut nodes = vec![
        text("VersionId", format!("v{}", version.number)),
        text("IsDefaultVersion", (version.number == default).to_string()),
        date("CreateDate", version.created),
    ];
    if with_document {
        nodes.insert(0, policy_document::node("Document", &version.document));
    }
    nodes
}
