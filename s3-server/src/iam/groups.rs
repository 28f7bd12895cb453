//! Groups: `CreateGroup`, `GetGroup`, `UpdateGroup`, `DeleteGroup`, `ListGroups`, and who belongs to them.

use std::collections::BTreeMap;

use super::{
    ask::Ask,
    directory::Known,
    document::{Node, date, group, members, text},
    error::{IamCode, IamError, IamResult, refused},
    names::{self, check_name},
    paging::page,
    records::{Entity as _, Group, User},
    users,
};

const MAX_NAME_CHARS: usize = 128;
const MAX_GROUPS_OF_USER: usize = 10;

pub(super) async fn create(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let name = check_name("GroupName", form.need("GroupName")?, MAX_NAME_CHARS)?;
    let path = names::path(form, "Path")?;
    let account = ask.account_id()?;
    ask.require(&names::arn(account, "group", &path, name))?;
    let mut change = ask.change().await?;
    if ask.directory().find::<Group>(account, name).is_some() {
        return refused(
            IamCode::EntityAlreadyExists,
            format!("Group with name {name} already exists."),
        );
    }
    let new = Group {
        id: names::unique_id(&*ask.app.rng, "AGPA"),
        name: name.to_owned(),
        path,
        created: ask.now(),
        policies: BTreeMap::new(),
        attached: Vec::new(),
        members: 0,
    };
    change.put(None, new)?;
    change.commit().await?;
    let made = ask.directory().find::<Group>(account, name);
    let made = made.ok_or_else(|| gone(name))?;
    Ok(vec![group("Group", nodes(&made))])
}

pub(super) fn get(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let found = ask.found::<Group>(ask.form.need("GroupName")?)?;
    let all = ask.directory().all::<User>(ask.account_id()?);
    let id = &found.record.id;
    let belong = all
        .into_iter()
        .filter(|user| user.record.groups.contains(id));
    let (page, mut of_page) = page(&ask.form, belong, |user| {
        user.record.name.to_ascii_lowercase()
    })?;
    let shown = page
        .iter()
        .map(|user| users::nodes(&user.record, &user.arn, false));
    of_page.insert(0, group("Group", nodes(&found)));
    of_page.insert(1, members("Users", shown));
    Ok(of_page)
}

pub(super) async fn update(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let mut change = ask.change().await?;
    let found = ask.found::<Group>(form.need("GroupName")?)?;
    let mut new = found.record.clone();
    if let Some(name) = form.get("NewGroupName") {
        check_name("NewGroupName", name, MAX_NAME_CHARS)?;
        name.clone_into(&mut new.name);
    }
    if form.get("NewPath").is_some() {
        new.path = names::path(form, "NewPath")?;
    }
    let account = ask.account_id()?;
    ask.require(&new.arn(account))?;
    let other = ask.directory().find::<Group>(account, &new.name);
    if other.is_some_and(|other| other.record.id != new.id) {
        return refused(
            IamCode::EntityAlreadyExists,
            format!("Group with name {} already exists.", new.name),
        );
    }
    change.put(Some(&found), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn delete(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let found = ask.found::<Group>(ask.form.need("GroupName")?)?;
    let record = &found.record;
    let conflict = |message| refused(IamCode::DeleteConflict, message);
    if record.members > 0 {
        return conflict("Cannot delete entity, must remove users from group first.");
    }
    if !record.attached.is_empty() {
        return conflict("Cannot delete entity, must detach all policies first.");
    }
    if !record.policies.is_empty() {
        return conflict("Cannot delete entity, must delete policies first.");
    }
    change.delete(&found);
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) fn list(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let prefix = ask.form.get("PathPrefix").unwrap_or("/");
    let account = ask.account_id()?;
    ask.require(&names::arn(account, "group", prefix, ""))?;
    let all = ask.directory().all::<Group>(account);
    let below = all
        .into_iter()
        .filter(|group| group.record.path.starts_with(prefix));
    let (page, mut of_page) = page(&ask.form, below, |group| {
        group.record.name.to_ascii_lowercase()
    })?;
    of_page.insert(0, members("Groups", page.iter().map(|group| nodes(group))));
    Ok(of_page)
}

pub(super) async fn add_user(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let found = ask.found::<Group>(ask.form.need("GroupName")?)?;
    let user = member(ask)?;
    if user.record.groups.contains(&found.record.id) {
        return Ok(Vec::new());
    }
    if user.record.groups.len() >= MAX_GROUPS_OF_USER {
        return refused(
            IamCode::LimitExceeded,
            format!("Cannot exceed quota for GroupsPerUser: {MAX_GROUPS_OF_USER}"),
        );
    }
    let (mut of_user, mut of_group) = (user.record.clone(), found.record.clone());
    of_user.groups.push(of_group.id.clone());
    of_group.members += 1;
    change.put(Some(&user), of_user)?;
    change.put(Some(&found), of_group)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn remove_user(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let found = ask.found::<Group>(ask.form.need("GroupName")?)?;
    let user = member(ask)?;
    let (mut of_user, mut of_group) = (user.record.clone(), found.record.clone());
    of_user.groups.retain(|id| *id != of_group.id);
    if of_user.groups.len() == user.record.groups.len() {
        let message = format!(
            "User {} is not in group {}.",
            user.record.name, found.record.name
        );
        return refused(IamCode::NoSuchEntity, message);
    }
    of_group.members = of_group.members.saturating_sub(1);
    change.put(Some(&user), of_user)?;
    change.put(Some(&found), of_group)?;
    change.commit().await?;
    Ok(Vec::new())
}

/// The user that is to come or go: the group's ARN is what decides whether the caller may.
fn member(ask: &Ask<'_>) -> IamResult<std::sync::Arc<Known<User>>> {
    let name = ask.form.need("UserName")?;
    let user = ask.directory().find::<User>(ask.account_id()?, name);
    user.ok_or_else(|| {
        let message = format!("The user with name {name} cannot be found.");
        IamError::new(IamCode::NoSuchEntity, message)
    })
}

fn gone(name: &str) -> IamError {
    let message = format!("The group with name {name} cannot be found.");
    IamError::new(IamCode::NoSuchEntity, message)
}

/// A group as answers have it.
pub(super) fn nodes(known: &Known<Group>) -> Vec<Node> {
    let record = &known.record;
    vec![
        text("Path", &*record.path),
        text("GroupName", &*record.name),
        text("GroupId", &*record.id),
        text("Arn", &*known.arn),
        date("CreateDate", record.created),
    ]
}
