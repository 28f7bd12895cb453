//! Permissions boundaries: the policy that says the most that a user or role may do.

use super::{
    ask::{Ask, Keys},
    builtin,
    directory::Change,
    document::{Node, group, text},
    error::IamResult,
    form::Form,
    holder::Bounded,
    policies,
};

/// The condition key of the boundary that a request sets.
pub(super) fn keys<'a>(form: &Form) -> Keys<'a> {
    let arn = form.get("PermissionsBoundary");
    arn.into_iter()
        .map(|arn| ("iam:PermissionsBoundary".to_owned(), arn.to_owned().into()))
        .collect()
}

/// Counts one more, or one less, that has the policy as its boundary.
///
/// # Errors
/// [`super::error::IamCode::NoSuchEntity`]: there is no such policy.
pub(super) fn count(ask: &Ask<'_>, change: &mut Change, arn: &str, by: i64) -> IamResult<()> {
    if builtin::find(arn).is_some() {
        return Ok(());
    }
    let policy = match policies::of_arn(ask, arn) {
        // What is gone need not be counted down.
        Err(_) if by < 0 => return Ok(()),
        found => found?,
    };
    let mut new = policy.record.clone();
    new.boundaries = new.boundaries.saturating_add_signed(by);
    change.put(Some(&policy), new)
}

pub(super) async fn put<T: Bounded>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let arn = ask.form.need("PermissionsBoundary")?.to_owned();
    set::<T>(ask, Some(arn)).await
}

pub(super) async fn delete<T: Bounded>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    set::<T>(ask, None).await
}

async fn set<T: Bounded>(ask: &Ask<'_>, boundary: Option<String>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let name = ask.form.need(T::PARAMETER)?;
    let holder = ask.found_with::<T>(name, keys(&ask.form))?;
    let old = holder.record.boundary();
    if old == boundary.as_ref() {
        return Ok(Vec::new());
    }
    if let Some(arn) = old {
        count(ask, &mut change, arn, -1)?;
    }
    if let Some(arn) = &boundary {
        count(ask, &mut change, arn, 1)?;
    }
    let mut new = holder.record.clone();
    *new.boundary_mut() = boundary;
    change.put(Some(&holder), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

/// As answers have it.
pub(super) fn node(arn: &str) -> Node {
    group(
        "PermissionsBoundary",
        vec![
            text("PermissionsBoundaryType", "Policy"),
            text("PermissionsBoundaryArn", arn),
        ],
    )
}
