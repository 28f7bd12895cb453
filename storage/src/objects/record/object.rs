//! The record of an object's version.

use super::{
    acl::{ObjectAcl, ObjectOwner, take_owner},
    checksum::{Checksum, ChecksumAlgorithm, ChecksumKind},
    common::{self, Common, decode_placement},
    encryption::{self, ENCRYPTION, Encryption},
    fields::{Decoder, Encoder, Field, RecordError, Unknown},
    headers::{self, Headers, Tags},
    lock::ObjectLock,
    manifest::Manifest,
};
use crate::{
    meta::tally::Tally,
    objects::names::{ETag, VersionId},
    stripes::BlobPlacement,
};

const VERSION_ID: u64 = 17;
const DELETE_MARKER: u64 = 19;
const PROFILE: u64 = 26;
const MANIFEST: u64 = 27;
const POINTER: u64 = 29;

/// Where an object's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) enum Body {
    /// Nowhere: it has none. Also what is encoded before the commit engine appends the placement of an inline blob.
    Empty,
    /// In one blob.
    Blob(BlobPlacement),
    /// In the parts of a completed upload.
    Parts(Manifest),
    /// In the record of this version: this record only says which is the latest, and what listings show of it.
    Elsewhere(VersionId),
}

/// An object's version, or a delete marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) struct ObjectRecord {
    pub(in crate::objects) size: u64,
    pub(in crate::objects) modified_unix_millis: u64,
    pub(in crate::objects) etag: ETag,
    pub(in crate::objects) checksum: Option<Checksum>,
    pub(in crate::objects) headers: Headers,
    pub(in crate::objects) tags: Tags,
    /// Of a version: its number, by which versions are ordered; a null version has one, too.
    pub(in crate::objects) version: Option<u64>,
    pub(in crate::objects) is_delete_marker: bool,
    /// What protects it.
    pub(in crate::objects) lock: ObjectLock,
    /// Who owns it, and whom it lets in; where there are versions, the owner stands in what points to the latest, too.
    pub(in crate::objects) acl: ObjectAcl,
    /// How its bytes are encrypted.
    pub(in crate::objects) encryption: Option<Encryption>,
    /// Room for profiles by name; the placement holds the one that was used.
    pub(in crate::objects) profile: Option<String>,
    pub(in crate::objects) unknown: Unknown,
    pub(in crate::objects) body: Body,
}

impl Body {
    /// The version whose record has the bytes, if it is not this one.
    pub(in crate::objects) fn elsewhere(&self) -> Option<VersionId> {
        match self {
            Self::Elsewhere(id) => Some(*id),
            Self::Empty | Self::Blob(_) | Self::Parts(_) => None,
        }
    }
}

impl ObjectRecord {
    /// A record with all that is optional left out.
    pub(in crate::objects) fn new(size: u64, modified_unix_millis: u64, etag: ETag) -> Self {
        Self {
            size,
            modified_unix_millis,
            etag,
            checksum: None,
            headers: Headers::default(),
            tags: Tags::default(),
            version: None,
            is_delete_marker: false,
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
            encryption: None,
            profile: None,
            unknown: Unknown::new(),
            body: Body::Empty,
        }
    }

    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        let modified = self.modified_unix_millis;
        common::encode(
            &mut out,
            self.size,
            modified,
            &self.etag,
            self.checksum.as_ref(),
        );
        headers::encode_headers(&self.headers, &mut out);
        headers::encode_tags(&self.tags, &mut out);
        self.encode_rare(&mut out);
        out.unknown(&self.unknown);
        let mut record = if let Body::Parts(manifest) = &self.body {
            out.bytes(MANIFEST, &manifest.encode());
            out.finish()
        } else if let Body::Elsewhere(id) = self.body {
            match id {
                VersionId::Null => out.bytes(POINTER, &[]),
                VersionId::Number(number) => out.number(POINTER, number),
            }
            out.finish()
        } else {
            out.finish()
        };
        if let Body::Blob(placement) = &self.body {
            placement.encode_into(&mut record);
        }
        record
    }

    fn encode_rare(&self, out: &mut Encoder) {
        if let Some(version) = self.version {
            out.number(VERSION_ID, version);
        }
        if self.is_delete_marker {
            out.bytes(DELETE_MARKER, &[]);
        }
        self.lock.encode(out);
        self.acl.encode(out);
        if let Some(encryption) = &self.encryption {
            encryption.encode(out);
        }
        if let Some(profile) = &self.profile {
            out.bytes(PROFILE, profile.as_bytes());
        }
    }

    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let mut common = Common::new();
        let mut object = Self::new(0, 0, common.etag);
        while let Some(field) = decoder.field()? {
            if !common.take(&field)? {
                object.decode_field(&field)?;
            }
        }
        common.check()?;
        object.checksum = common.checksum()?;
        object.size = common.size;
        object.modified_unix_millis = common.modified_unix_millis;
        object.etag = common.etag;
        object.decode_body(decoder.rest())?;
        Ok(object)
    }

    /// What an object's key holds when `self` is its latest version, and has the identifier `id`.
    pub(in crate::objects) fn pointer(&self, id: VersionId) -> Self {
        Self {
            checksum: self.checksum.clone(),
            version: self.version,
            is_delete_marker: self.is_delete_marker,
            acl: ObjectAcl {
                owner: self.acl.owner,
                list: None,
            },
            body: Body::Elsewhere(id),
            ..Self::new(self.size, self.modified_unix_millis, self.etag)
        }
    }

    fn decode_field(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        match field.tag {
            headers::CONTENT_TYPE | headers::SYSTEM | headers::USER => {
                self.headers.decode_field(field)?;
            }
            headers::TAGS => self.tags = Tags::decode(field)?,
            VERSION_ID => self.version = Some(field.number()?),
            DELETE_MARKER => self.is_delete_marker = true,
            ENCRYPTION => self.encryption = Some(Encryption::decode(field)?),
            PROFILE => self.profile = Some(field.text()?.to_owned()),
            MANIFEST => self.body = Body::Parts(field.whole(Manifest::take)?),
            POINTER => self.body = Body::Elsewhere(take_pointer(field)?),
            _ if self.lock.take(field)? || self.acl.take(field)? => {}
            _ => field.keep_unknown(&mut self.unknown)?,
        }
        Ok(())
    }

    fn decode_body(&mut self, rest: &[u8]) -> Result<(), RecordError> {
        let agrees = match (&self.body, rest.is_empty()) {
            (Body::Parts(manifest), true) => manifest.size() == Some(self.size),
            (Body::Elsewhere(_), is_empty) => is_empty,
            (Body::Parts(_), false) => false,
            (_, true) => self.size == 0,
            (_, false) => {
                self.body = Body::Blob(decode_placement(rest)?);
                true
            }
        };
        if agrees {
            Ok(())
        } else {
            Err(RecordError::BadBody)
        }
    }
}

fn take_pointer(field: &Field<'_>) -> Result<VersionId, RecordError> {
    if field.bytes.is_empty() {
        return Ok(VersionId::Null);
    }
    field.number().map(VersionId::Number)
}

/// What a record counts for the usage of its bucket: nothing if it only says which version is the latest, or can't be read.
pub(in crate::objects) fn weight_of(record: &[u8]) -> Option<Tally> {
    let mut decoder = Decoder::new(record).ok()?;
    let (mut bytes, mut is_delete_marker) = (0, false);
    while let Some(field) = decoder.field().ok()? {
        match field.tag {
            common::SIZE => bytes = field.number().ok()?,
            DELETE_MARKER => is_delete_marker = true,
            POINTER => return None,
            _ => {}
        }
    }
    Some(if is_delete_marker {
        Tally {
            delete_markers: 1,
            ..Tally::default()
        }
    } else {
        Tally {
            objects: 1,
            bytes,
            ..Tally::default()
        }
    })
}

/// What a listing shows of an object; decoded without allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::objects) struct ObjectSummary {
    pub(in crate::objects) size: u64,
    pub(in crate::objects) modified_unix_millis: u64,
    pub(in crate::objects) etag: ETag,
    pub(in crate::objects) checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    pub(in crate::objects) is_delete_marker: bool,
    /// Its number, if it has one.
    pub(in crate::objects) version: Option<u64>,
    /// It only says which version is the latest.
    pub(in crate::objects) is_pointer: bool,
    /// Who owns it, if that is not the bucket's owner.
    pub(in crate::objects) owner: Option<ObjectOwner>,
}

impl ObjectSummary {
    /// Decodes what it needs of an object's record; refuses fields that must be understood, as the whole would, and what can't be
    /// served.
    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let mut common = Common::new();
        let (mut is_delete_marker, mut version, mut is_pointer) = (false, None, false);
        let mut owner = None;
        while let Some(field) = decoder.field()? {
            if common.take(&field)? {
                continue;
            }
            match field.tag {
                ENCRYPTION => encryption::check(&field)?,
                DELETE_MARKER => is_delete_marker = true,
                VERSION_ID => version = Some(field.number()?),
                POINTER => is_pointer = true,
                tag if tag > POINTER => match take_owner(&field)? {
                    None => field.check_skippable()?,
                    found => owner = found,
                },
                _ => {}
            }
        }
        common.check()?;
        Ok(Self {
            size: common.size,
            modified_unix_millis: common.modified_unix_millis,
            etag: common.etag,
            checksum: common.checksum_type()?,
            is_delete_marker,
            version,
            is_pointer,
            owner,
        })
    }
}
