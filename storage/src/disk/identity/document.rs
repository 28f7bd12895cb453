//! `disk.json`: reading and writing it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Member;
use crate::disk::{
    DiskError, DiskNo,
    frame::crc64,
    volume::{Volume, read_file, replace_file},
};

/// The file, in the root of the volume.
pub const DISK_FILE: &str = "disk.json";
/// Format of the directory, and of everything below it, that this code writes where nothing needs a later one.
pub const IDENTITY_FORMAT: u64 = 1;
/// The highest format of `disk.json` that this code reads, and the one that it writes while a disk is being drained, or was put in
/// while the cluster served. An older version would use the one like any other, and take the place of the other for that of a
/// disk that is to be replaced: it has to refuse.
pub const MOVING_FORMAT: u64 = 2;
const DRAINING: &str = "draining";
const LIMIT_BYTES: u64 = 1 << 20;

/// What `disk.json` says: this disk, and the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) own: Member,
    pub(super) slot: usize,
    pub(super) membership: Membership,
}

/// The part that is the same on all disks of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) cluster_id: u128,
    pub(super) generation: u64,
    /// By slot.
    pub(super) members: Vec<Member>,
    /// No number from here on was ever given.
    pub(super) next_number: u32,
    pub(super) profile: Option<String>,
    /// Members that get nothing new.
    pub(super) draining: BTreeSet<DiskNo>,
    /// Members that were put in while the cluster served, and where, until a start has found them there.
    pub(super) joined_at: BTreeMap<DiskNo, String>,
}

impl Membership {
    fn needed_format(&self) -> u64 {
        if self.draining.is_empty() && self.joined_at.is_empty() {
            IDENTITY_FORMAT
        } else {
            MOVING_FORMAT
        }
    }
}

/// How reading went.
#[derive(Debug)]
pub(super) enum Loaded {
    Document(Box<Document>),
    Newer(u64),
    Damaged(String),
}

impl Document {
    /// Reads the file.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::Io`].
    pub(super) fn load(volume: &dyn Volume) -> Result<Loaded, DiskError> {
        Ok(Self::parse(&read_file(volume, DISK_FILE, LIMIT_BYTES)?))
    }

    /// Replaces the file, durably.
    ///
    /// # Errors
    /// [`DiskError`]: the old or the new document is there, whole.
    pub(super) fn store(&self, volume: &dyn Volume) -> Result<(), DiskError> {
        replace_file(volume, DISK_FILE, self.format().as_bytes())
    }

    pub(super) fn parse(bytes: &[u8]) -> Loaded {
        // The format alone first: what a later format means by the rest is not ours to judge.
        match serde_json::from_slice::<FormatOnly>(bytes) {
            Ok(FormatOnly { format }) if format > MOVING_FORMAT => Loaded::Newer(format),
            Ok(_) => Self::parse_this_format(bytes)
                .map_or_else(Loaded::Damaged, |d| Loaded::Document(Box::new(d))),
            Err(error) => Loaded::Damaged(error.to_string()),
        }
    }

    fn parse_this_format(bytes: &[u8]) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if json.check != json.computed_check() {
            return Err("its check does not match".to_owned());
        }
        json.document()
            .ok_or_else(|| "its content makes no sense".to_owned())
    }

    pub(super) fn format(&self) -> String {
        let mut json = Json::of(self);
        json.check = json.computed_check();
        let mut text = json.text();
        text.push('\n');
        text
    }
}

/// What `disk.json` is written as after it was read from these bytes.
#[cfg(any(test, feature = "testing"))]
pub(in crate::disk) fn rewrite(bytes: &[u8]) -> Option<Vec<u8>> {
    match Document::parse(bytes) {
        Loaded::Document(document) => Some(document.format().into_bytes()),
        Loaded::Newer(_) | Loaded::Damaged(_) => None,
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: u64,
    cluster_id: String,
    disk_number: u16,
    disk_id: String,
    slot: usize,
    generation: u64,
    next_disk_number: u32,
    profile: Option<String>,
    members: Vec<MemberJson>,
    /// CRC-64/NVME, 16 hex digits, of the document as it is written but with an empty `check`.
    check: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberJson {
    slot: usize,
    disk_number: u16,
    disk_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    joined_at: Option<String>,
}

impl Json {
    fn of(document: &Document) -> Self {
        let Document {
            own,
            slot,
            membership,
        } = document;
        let draining = |member: &Member| membership.draining.contains(&member.number);
        let member = |(slot, member): (usize, &Member)| MemberJson {
            slot,
            disk_number: member.number.0,
            disk_id: hex(member.disk_id),
            state: draining(member).then(|| DRAINING.to_owned()),
            joined_at: membership.joined_at.get(&member.number).cloned(),
        };
        Self {
            format: membership.needed_format(),
            cluster_id: hex(membership.cluster_id),
            disk_number: own.number.0,
            disk_id: hex(own.disk_id),
            slot: *slot,
            generation: membership.generation,
            next_disk_number: membership.next_number,
            profile: membership.profile.clone(),
            members: membership.members.iter().enumerate().map(member).collect(),
            check: String::new(),
        }
    }

    fn document(&self) -> Option<Document> {
        let in_order = self
            .members
            .iter()
            .enumerate()
            .all(|(slot, member)| member.slot == slot);
        let member = |number, id: &str| {
            Some(Member {
                number: DiskNo(number),
                disk_id: from_hex(id)?,
            })
        };
        let members: Option<Vec<_>> = self
            .members
            .iter()
            .map(|m| member(m.disk_number, &m.disk_id))
            .collect();
        let mut membership = Membership {
            cluster_id: from_hex(&self.cluster_id)?,
            generation: self.generation,
            members: members.filter(|members| in_order && !members.is_empty())?,
            next_number: self.next_disk_number,
            profile: self.profile.clone(),
            draining: BTreeSet::new(),
            joined_at: BTreeMap::new(),
        };
        for member in &self.members {
            let number = DiskNo(member.disk_number);
            match member.state.as_deref() {
                Some(DRAINING) => drop(membership.draining.insert(number)),
                // A state of which nobody here has heard: it may mean anything.
                Some(_) => return None,
                None => {}
            }
            if let Some(path) = &member.joined_at {
                membership.joined_at.insert(number, path.clone());
            }
        }
        if membership.needed_format() != self.format {
            return None;
        }
        Some(Document {
            own: member(self.disk_number, &self.disk_id)?,
            slot: self.slot,
            membership,
        })
    }

    fn computed_check(&self) -> String {
        let blank = Self {
            check: String::new(),
            ..self.clone()
        };
        format!("{:016x}", crc64(blank.text().as_bytes()))
    }

    fn text(&self) -> String {
        // Strings and numbers only: there is nothing here that serialising could fail on.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// 32 lower-case hex digits.
pub(super) fn hex(id: u128) -> String {
    format!("{id:032x}")
}

fn from_hex(text: &str) -> Option<u128> {
    u128::from_str_radix(text, 16)
        .ok()
        .filter(|id| hex(*id) == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Document {
        let own = Member {
            number: DiskNo(4),
            disk_id: 5,
        };
        let other = Member {
            number: DiskNo(1),
            disk_id: u128::MAX,
        };
        let membership = Membership {
            cluster_id: 9,
            generation: 3,
            members: vec![other, own],
            next_number: 5,
            profile: Some("1+1".to_owned()),
            draining: BTreeSet::new(),
            joined_at: BTreeMap::new(),
        };
        Document {
            own,
            slot: 1,
            membership,
        }
    }

    #[test]
    fn document_survives_writing() {
        let Loaded::Document(read) = Document::parse(sample().format().as_bytes()) else {
            panic!("refused its own output")
        };
        assert_eq!(*read, sample());
    }

    #[test]
    fn bytes_of_a_document_never_change() {
        // Its check was computed by a bit-by-bit CRC-64/NVME in another language.
        assert_eq!(
            sample().format(),
            include_str!("fixtures/disk-format-1.json")
        );
    }

    #[test]
    fn a_document_of_disks_that_come_and_go_never_changes_and_is_refused_by_older_versions() {
        let mut moving = sample();
        moving.membership.draining.insert(DiskNo(1));
        moving
            .membership
            .joined_at
            .insert(DiskNo(4), "/data/new".to_owned());
        let text = moving.format();
        assert_eq!(text, include_str!("fixtures/disk-format-2.json"));
        // All that a version that knows format 1 alone looks at.
        let FormatOnly { format } = serde_json::from_str(&text).unwrap();
        assert_eq!(format, 2);
        let Loaded::Document(read) = Document::parse(text.as_bytes()) else {
            panic!("refused its own output")
        };
        assert_eq!(*read, moving);
    }

    #[test]
    fn a_state_that_is_not_known_or_not_of_the_format_is_refused() {
        let text = |format: u64, state: Option<&str>| {
            let mut json = Json::of(&sample());
            json.format = format;
            json.members[0].state = state.map(str::to_owned);
            json.check = json.computed_check();
            json.text()
        };
        let is_read = |format, state| {
            let text = text(format, state);
            matches!(Document::parse(text.as_bytes()), Loaded::Document(_))
        };
        assert!(is_read(1, None) && is_read(2, Some("draining")));
        assert!(!is_read(2, None) && !is_read(1, Some("draining")));
        assert!(!is_read(2, Some("dancing")));
    }

    #[test]
    fn later_format_is_recognised_whatever_else_it_says() {
        let loaded = Document::parse(br#"{"format": 3, "shape": "round"}"#);
        assert!(matches!(loaded, Loaded::Newer(3)), "{loaded:?}");
    }

    proptest! {
        #[test]
        fn no_changed_byte_yields_another_document(at in 0_usize..700, to: u8) {
            let mut bytes = sample().format().into_bytes();
            let at = at % bytes.len();
            bytes[at] = to;
            match Document::parse(&bytes) {
                Loaded::Document(read) => prop_assert_eq!(*read, sample()),
                Loaded::Newer(_) | Loaded::Damaged(_) => {}
            }
        }

        #[test]
        fn random_bytes_do_no_harm(bytes: Vec<u8>) {
            let is_damaged = matches!(Document::parse(&bytes), Loaded::Damaged(_));
            prop_assert!(is_damaged);
        }
    }
}
