//! Users: `CreateUser`, `GetUser`, `UpdateUser`, `DeleteUser`, `ListUsers`, and the groups of a user.

use super::{
    ask::{Ask, tag_keys},
    boundaries,
    directory::Known,
    document::{Node, date, group, members, text},
    error::{IamCode, IamResult, refused},
    groups,
    names::{self, check_name, tag_nodes},
    paging::page,
    records::{Group, User},
};
use crate::accounts::Caller;

pub(super) const MAX_NAME_CHARS: usize = 64;

pub(super) async fn create(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let name = check_name("UserName", form.need("UserName")?, MAX_NAME_CHARS)?;
    let path = names::path(form, "Path")?;
    let account = ask.account_id()?;
    let mut keys = tag_keys(form);
    keys.extend(boundaries::keys(form));
    ask.require_with(&names::arn(account, "user", &path, name), keys)?;
    let tags = names::tags(form, &[])?;
    let mut change = ask.change().await?;
    if ask.directory().find::<User>(account, name).is_some() {
        return refused(
            IamCode::EntityAlreadyExists,
            format!("User with name {name} already exists."),
        );
    }
    let boundary = form.get("PermissionsBoundary").map(str::to_owned);
    if let Some(arn) = &boundary {
        boundaries::count(ask, &mut change, arn, 1)?;
    }
    let user = User {
        id: names::unique_id(&*ask.app.rng, "AIDA"),
        name: name.to_owned(),
        path,
        created: ask.now(),
        tags,
        keys: Vec::new(),
        policies: std::collections::BTreeMap::new(),
        attached: Vec::new(),
        groups: Vec::new(),
        boundary,
    };
    change.put(None, user.clone())?;
    change.commit().await?;
    let arn = super::records::Entity::arn(&user, account);
    tracing::info!(arn, "user created");
    Ok(vec![group("User", nodes(&user, &arn, true))])
}

pub(super) fn get(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let nodes = match ask.user()? {
        Some(user) => nodes(&user.record, &user.arn, true),
        None => root_nodes(ask)?,
    };
    Ok(vec![group("User", nodes)])
}

/// The root is shown as a user where it asks for itself.
fn root_nodes(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let account = ask.account()?;
    let id = account.id.to_string();
    let arn = format!("arn:aws:iam::{id}:root");
    Ok(vec![
        text("Path", "/"),
        text("UserName", &*account.name),
        text("UserId", id),
        text("Arn", arn),
        date("CreateDate", 0),
    ])
}

pub(super) async fn update(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let mut change = ask.change().await?;
    let user = ask.found::<User>(form.need("UserName")?)?;
    let mut new = user.record.clone();
    if let Some(name) = form.get("NewUserName") {
        check_name("NewUserName", name, MAX_NAME_CHARS)?;
        name.clone_into(&mut new.name);
    }
    if form.get("NewPath").is_some() {
        new.path = names::path(form, "NewPath")?;
    }
    let account = ask.account_id()?;
    ask.require(&super::records::Entity::arn(&new, account))?;
    let other = ask.directory().find::<User>(account, &new.name);
    if other.is_some_and(|other| other.record.id != new.id) {
        return refused(
            IamCode::EntityAlreadyExists,
            format!("User with name {} already exists.", new.name),
        );
    }
    change.put(Some(&user), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn delete(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let user = ask.found::<User>(ask.form.need("UserName")?)?;
    let record = &user.record;
    let conflict = |message| refused(IamCode::DeleteConflict, message);
    if !record.keys.is_empty() {
        return conflict("Cannot delete entity, must delete access keys first.");
    }
    if !record.groups.is_empty() {
        return conflict("Cannot delete entity, must remove users from group first.");
    }
    if !record.attached.is_empty() {
        return conflict("Cannot delete entity, must detach all policies first.");
    }
    if !record.policies.is_empty() {
        return conflict("Cannot delete entity, must delete policies first.");
    }
    if let Some(arn) = &record.boundary {
        boundaries::count(ask, &mut change, arn, -1)?;
    }
    change.delete(&user);
    change.commit().await?;
    tracing::info!(arn = user.arn, "user deleted");
    Ok(Vec::new())
}

pub(super) fn list(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let prefix = ask.form.get("PathPrefix").unwrap_or("/");
    let account = ask.account_id()?;
    ask.require(&names::arn(account, "user", prefix, ""))?;
    let all = ask.directory().all::<User>(account);
    let below = all
        .into_iter()
        .filter(|user| user.record.path.starts_with(prefix));
    let (page, mut nodes_of_page) = page(&ask.form, below, |user| {
        user.record.name.to_ascii_lowercase()
    })?;
    let shown = page
        .iter()
        .map(|user| nodes(&user.record, &user.arn, false));
    nodes_of_page.insert(0, members("Users", shown));
    Ok(nodes_of_page)
}

pub(super) fn list_groups(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let user = ask.found::<User>(ask.form.need("UserName")?)?;
    let account = ask.account_id()?;
    let of_id = |id: &String| ask.directory().of_id::<Group>(account, id);
    let mut all: Vec<_> = user.record.groups.iter().filter_map(of_id).collect();
    all.sort_by_key(|group| group.record.name.to_ascii_lowercase());
    let (page, mut nodes) = page(&ask.form, all.into_iter(), |group| {
        group.record.name.to_ascii_lowercase()
    })?;
    let shown = page.iter().map(|group| groups::nodes(group));
    nodes.insert(0, members("Groups", shown));
    Ok(nodes)
}

/// A user as answers have it; in lists without its tags.
pub(super) fn nodes(user: &User, arn: &str, with_tags: bool) -> Vec<Node> {
    let mut nodes = vec![
        text("Path", &*user.path),
        text("UserName", &*user.name),
        text("UserId", &*user.id),
        text("Arn", arn),
        date("CreateDate", user.created),
    ];
    if let Some(boundary) = user.boundary.as_ref().filter(|_| with_tags) {
        nodes.push(boundaries::node(boundary));
    }
    if with_tags && !user.tags.is_empty() {
        nodes.push(members("Tags", user.tags.iter().map(tag_nodes)));
    }
    nodes
}

/// The user that a request is about where the root may not name itself.
pub(super) fn named(ask: &Ask<'_>) -> IamResult<std::sync::Arc<Known<User>>> {
    let Some(user) = ask.user()? else {
        let message = "Must specify userName when calling with non-User credentials";
        return refused(IamCode::ValidationError, message);
    };
    Ok(user)
}

/// What Terraform asks about users and Larder has none of: an empty list.
pub(super) fn list_nothing(ask: &Ask<'_>, name: &'static str) -> IamResult<Vec<Node>> {
    if let Caller::Member(_) = &ask.caller {
        named(ask)?;
    }
    let none = std::iter::empty();
    Ok(vec![members(name, none), text("IsTruncated", "false")])
}

/// As [`list_nothing`], for what a user has one of.
pub(super) fn no_login_profile(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let name = &named(ask)?.record.name;
    refused(
        IamCode::NoSuchEntity,
        format!("Login Profile for User {name} cannot be found."),
    )
}
