//! The record of an account, and of whose an access key is.

use super::fields::{Decoder, Encoder, RecordError, Unknown};
use crate::objects::{
    accounts::{StoredAccount, StoredSecret},
    names::AccountId,
};

const NAME: u64 = 1;
const EMAIL: u64 = 2;
const CANONICAL_ID: u64 = 3;
const ACCESS_KEY: u64 = 5;
const SECRET_KEY: u64 = 7;
const CREATED: u64 = 8;
/// Of an access key's record.
const ACCOUNT: u64 = 9;
/// In the place of [`SECRET_KEY`]; odd, since who does not know it can't check a signature.
const SEALED_SECRET: u64 = 11;

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::objects) struct AccountRecord {
    account: StoredAccount,
    unknown: Unknown,
}

impl AccountRecord {
    pub(in crate::objects) fn of(account: &StoredAccount) -> Self {
        Self {
            account: account.clone(),
            unknown: Unknown::new(),
        }
    }

    /// The record of an access key of `id`.
    pub(in crate::objects) fn encode_reference(id: AccountId) -> Vec<u8> {
        let mut out = Encoder::new();
        out.number(ACCOUNT, id.number());
        out.finish()
    }

    pub(in crate::objects) fn into_account(self, id: AccountId) -> StoredAccount {
        StoredAccount { id, ..self.account }
    }

    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let account = &self.account;
        let mut out = Encoder::new();
        out.bytes(NAME, account.name.as_bytes());
        out.bytes(EMAIL, account.email.as_bytes());
        out.bytes(CANONICAL_ID, account.canonical_id.as_bytes());
        out.bytes(ACCESS_KEY, account.access_key.as_bytes());
        match &account.secret {
            StoredSecret::Clear(secret) => out.bytes(SECRET_KEY, secret.as_bytes()),
            StoredSecret::Sealed(sealed) => out.bytes(SEALED_SECRET, sealed),
        }
        out.number(CREATED, account.created_unix_millis);
        out.unknown(&self.unknown);
        out.finish()
    }

    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let (mut name, mut email, mut created_unix_millis) = (None, String::new(), 0);
        let (mut canonical_id, mut access_key, mut secret) = (None, None, None);
        let mut unknown = Unknown::new();
        while let Some(field) = decoder.field()? {
            match field.tag {
                NAME => name = Some(field.text()?.to_owned()),
                EMAIL => field.text()?.clone_into(&mut email),
                CANONICAL_ID => canonical_id = Some(field.text()?.to_owned()),
                ACCESS_KEY => access_key = Some(field.text()?.to_owned()),
                SECRET_KEY => secret = Some(StoredSecret::Clear(field.text()?.to_owned())),
                SEALED_SECRET => secret = Some(StoredSecret::Sealed(field.bytes.to_vec())),
                CREATED => created_unix_millis = field.number()?,
                _ => field.keep_unknown(&mut unknown)?,
            }
        }
        let need = |tag, value: Option<String>| value.ok_or(RecordError::Missing { tag });
        let account = StoredAccount {
            id: AccountId::default(),
            name: need(NAME, name)?,
            email,
            canonical_id: need(CANONICAL_ID, canonical_id)?,
            access_key: need(ACCESS_KEY, access_key)?,
            secret: secret.ok_or(RecordError::Missing { tag: SECRET_KEY })?,
            created_unix_millis,
        };
        Ok(Self { account, unknown })
    }
}
