//! The record of an upload in progress.

use super::{
    acl::ObjectAcl,
    checksum::{self, ChecksumAlgorithm, ChecksumKind},
    encryption::{ENCRYPTION, Encryption},
    fields::{Decoder, Encoder, RecordError, Unknown},
    headers::{self, Headers, Tags},
    lock::ObjectLock,
};

const INITIATED: u64 = 1;
const COMPLETING: u64 = 3;
const CHECKSUM_TYPE: u64 = 5;

/// An upload in progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::objects) struct UploadRecord {
    pub(in crate::objects) initiated_unix_millis: u64,
    /// Set by a completion to fence parts off; the next part takes it back.
    pub(in crate::objects) is_completing: bool,
    pub(in crate::objects) checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    pub(in crate::objects) headers: Headers,
    pub(in crate::objects) tags: Tags,
    /// What the object is to be protected by; `None` of it: as the bucket has it by then.
    pub(in crate::objects) lock: ObjectLock,
    /// Who is to own it, and whom it is to let in.
    pub(in crate::objects) acl: ObjectAcl,
    /// How its parts, and the object that they become, are encrypted.
    pub(in crate::objects) encryption: Option<Encryption>,
    pub(in crate::objects) unknown: Unknown,
}

impl UploadRecord {
    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.number(INITIATED, self.initiated_unix_millis);
        if self.is_completing {
            out.bytes(COMPLETING, &[]);
        }
        if let Some((algorithm, kind)) = self.checksum {
            out.bytes(CHECKSUM_TYPE, &[checksum::put_type(algorithm, kind)]);
        }
        headers::encode_headers(&self.headers, &mut out);
        headers::encode_tags(&self.tags, &mut out);
        self.lock.encode(&mut out);
        self.acl.encode(&mut out);
        if let Some(encryption) = &self.encryption {
            encryption.encode(&mut out);
        }
        out.unknown(&self.unknown);
        out.finish()
    }

    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let mut upload = Self::default();
        while let Some(field) = decoder.field()? {
            match field.tag {
                INITIATED => upload.initiated_unix_millis = field.number()?,
                COMPLETING => upload.is_completing = true,
                CHECKSUM_TYPE => upload.checksum = Some(checksum::take_type(&field)?),
                headers::CONTENT_TYPE | headers::SYSTEM | headers::USER => {
                    upload.headers.decode_field(&field)?;
                }
                ENCRYPTION => upload.encryption = Some(Encryption::decode(&field)?),
                headers::TAGS => upload.tags = Tags::decode(&field)?,
                _ if upload.lock.take(&field)? || upload.acl.take(&field)? => {}
                _ => field.keep_unknown(&mut upload.unknown)?,
            }
        }
        if decoder.rest().is_empty() {
            Ok(upload)
        } else {
            Err(RecordError::BadBody)
        }
    }
}
