//! Who owns a version, and whom it lets in, as records hold it.

use super::fields::{Encoder, Field, RecordError};
use crate::objects::names::AccountId;

/// In the record of an object, and of an upload. Odd: whoever skipped it would take the object for the bucket owner's.
const OWNER: u64 = 31;
/// Likewise. Even: whoever skips it lets fewer in.
const LIST: u64 = 32;

/// Who owns an object that is not the bucket owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectOwner {
    /// Nobody that is known wrote it.
    Anonymous,
    /// An account.
    Account(AccountId),
}

/// Who owns an object, and whom it lets in. `Default`: the bucket's owner, and nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectAcl {
    /// `None`: the bucket's owner.
    pub owner: Option<ObjectOwner>,
    /// The access control list, opaque here, at most [`crate::objects::MAX_ACL_BYTES`] long. `None`: all is its owner's, and nobody else is let in.
    pub list: Option<Vec<u8>>,
}

impl ObjectAcl {
    pub(super) fn encode(&self, out: &mut Encoder) {
        encode_owner(self.owner, out);
        if let Some(list) = &self.list {
            out.bytes(LIST, list);
        }
    }

    /// Reads `field` if it is one of these; says whether it is.
    pub(super) fn take(&mut self, field: &Field<'_>) -> Result<bool, RecordError> {
        match field.tag {
            OWNER => self.owner = take_owner(field)?,
            LIST => self.list = Some(field.bytes.to_vec()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn encode_owner(owner: Option<ObjectOwner>, out: &mut Encoder) {
    match owner {
        None => {}
        Some(ObjectOwner::Anonymous) => out.bytes(OWNER, &[]),
        Some(ObjectOwner::Account(account)) => out.number(OWNER, account.number()),
    }
}

/// What `field` says of the owner; `None` if it is another field.
pub(super) fn take_owner(field: &Field<'_>) -> Result<Option<ObjectOwner>, RecordError> {
    match field.bytes {
        _ if field.tag != OWNER => Ok(None),
        [] => Ok(Some(ObjectOwner::Anonymous)),
        _ => {
            let account = AccountId::from_number(field.number()?).ok_or_else(|| field.bad())?;
            Ok(Some(ObjectOwner::Account(account)))
        }
    }
}
