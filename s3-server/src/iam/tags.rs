//! Tags of users, roles and policies.

use super::{
    ask::{Ask, tag_keys},
    document::{Node, members},
    error::IamResult,
    holder::Bounded,
    names::{self, Tag, tag_nodes},
    paging::page,
};

pub(super) async fn add<T: Bounded>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let name = ask.form.need(T::PARAMETER)?;
    let holder = ask.found_with::<T>(name, tag_keys(&ask.form))?;
    let mut new = holder.record.clone();
    *new.tags_mut() = names::tags(&ask.form, holder.record.tags())?;
    change.put(Some(&holder), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn remove<T: Bounded>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let holder = ask.found::<T>(ask.form.need(T::PARAMETER)?)?;
    let mut new = holder.record.clone();
    *new.tags_mut() = names::without_tags(&ask.form, holder.record.tags());
    change.put(Some(&holder), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) fn list<T: Bounded>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let holder = ask.found::<T>(ask.form.need(T::PARAMETER)?)?;
    listed(ask, holder.record.tags())
}

/// A page of tags.
pub(super) fn listed(ask: &Ask<'_>, tags: &[Tag]) -> IamResult<Vec<Node>> {
    let mut all: Vec<_> = tags.iter().collect();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    let (page, mut nodes) = page(&ask.form, all.into_iter(), |tag| tag.key.clone())?;
    nodes.insert(0, members("Tags", page.into_iter().map(tag_nodes)));
    Ok(nodes)
}
