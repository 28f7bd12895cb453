//! STS: who somebody is.

use super::{
    ask::Ask,
    document::{Node, text},
    error::IamResult,
    member::Principal,
};

/// Nothing is needed for this but a signature: a policy can't deny it.
pub(super) fn caller_identity(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    ask.account()?;
    let principal = Principal::of(&ask.caller);
    Ok(vec![
        text("Arn", principal.arn()),
        text("UserId", principal.id()),
        text("Account", principal.account()),
    ])
}
