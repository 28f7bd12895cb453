//! What is asked of a backend, and what it answers.

use std::{collections::BTreeMap, fmt};

use time::OffsetDateTime;

/// Tags of a bucket, user or role.
pub type Tags = BTreeMap<String, String>;

/// Who the driver is to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Twelve digits.
    pub account: String,
    /// Its ARN.
    pub arn: String,
}

/// How many data and parity shards objects have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    data: u8,
    parity: u8,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

impl Profile {
    /// Such as `4+2`.
    pub fn parse(text: &str) -> Option<Self> {
        let (data, parity) = text.split_once('+')?;
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| is_number)
        };
        let (data, parity) = (number(data)?, number(parity)?);
        (data > 0).then_some(Self { data, parity })
    }
}

/// A bucket to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewBucket {
    /// Its tags.
    pub tags: Tags,
    /// Whether objects in it can be locked, which can't be had later on every server.
    pub object_lock: bool,
    /// How its objects are to be coded; `None`: as the server has it.
    pub profile: Option<Profile>,
}

/// A bucket in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBucket {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// How objects are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Who is specially allowed to can delete them all the same.
    Governance,
    /// Nobody can delete them.
    Compliance,
}

/// How new objects of a bucket are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRule {
    /// How.
    pub mode: LockMode,
    /// For so long.
    pub days: u32,
}

/// When what is in a bucket goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// Objects, after so many days.
    pub expire_days: Option<u32>,
    /// Versions that are not the current one any more, after so many days.
    pub noncurrent_days: Option<u32>,
    /// Uploads that were not completed, after so many days.
    pub abort_days: Option<u32>,
}

impl Lifecycle {
    /// Whether nothing goes by itself.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How objects are encrypted where their writer does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With the server's keys.
    Aes256,
    /// With a key of the key management service; `None`: its default key.
    Kms(Option<String>),
}

/// How much may be in a bucket. `None`: any amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes.
    pub bytes: Option<u64>,
    /// Objects, versions included.
    pub objects: Option<u64>,
}

/// One thing to set about a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Versions are kept from now on.
    Versioning,
    /// New objects are locked.
    ObjectLock(LockRule),
    /// Things go by themselves.
    Lifecycle(Lifecycle),
    /// Objects are encrypted.
    Encryption(Encryption),
    /// Objects are coded like this. To be asked for when the bucket is made, by [`NewBucket::profile`]; set here it is only looked at whether the server took it.
    Profile(Profile),
    /// No more than this may be in it.
    Quota(Quota),
}

/// What is set about a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Whether versions are kept.
    pub versioning: bool,
    /// How new objects are locked.
    pub object_lock: Option<LockRule>,
    /// What goes by itself.
    pub lifecycle: Lifecycle,
    /// How objects are encrypted.
    pub encryption: Option<Encryption>,
    /// How objects are coded, where that is not as the server has it.
    pub profile: Option<Profile>,
    /// How much may be in it.
    pub quota: Quota,
}

/// A version of an object, or a delete marker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectVersion {
    /// Of which object.
    pub key: String,
    /// Which, `null` included.
    pub version: String,
    /// Whether it is a delete marker.
    pub is_marker: bool,
    /// Whether it is the current one.
    pub is_latest: bool,
}

/// The first versions in a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionPage {
    /// They.
    pub versions: Vec<ObjectVersion>,
    /// Whether there are more.
    pub is_truncated: bool,
}

/// A version that could not be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteFailure {
    /// Which.
    pub version: ObjectVersion,
    /// S3's code of the refusal.
    pub code: String,
    /// What the server says.
    pub message: String,
}

/// What keeps a version from being deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Its retention, and until when.
    pub retention: Option<(LockMode, OffsetDateTime)>,
    /// Whether there is a legal hold on it.
    pub legal_hold: bool,
}

/// An upload that was not completed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upload {
    /// Of which object.
    pub key: String,
    /// Its identifier.
    pub id: String,
}

/// The first uploads of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadPage {
    /// They.
    pub uploads: Vec<Upload>,
    /// Whether there are more.
    pub is_truncated: bool,
}

/// Whether something in IAM is a user or a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdentityKind {
    /// Has access keys.
    User,
    /// Is taken on by whom its trust policy lets.
    Role,
}

impl IdentityKind {
    /// As IAM calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Role => "Role",
        }
    }
}

/// A user or role to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIdentity {
    /// Its name.
    pub name: String,
    /// Its path, such as `/cosi/`.
    pub path: String,
    /// Its tags.
    pub tags: Tags,
    /// Who may take it on; only of roles, and always of those.
    pub trust: Option<String>,
}

/// A user or role that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIdentity {
    /// Its ARN.
    pub arn: String,
    /// Its path.
    pub path: String,
    /// When it was made.
    pub created: OffsetDateTime,
    /// Its tags.
    pub tags: Tags,
}

/// A user or role in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedIdentity {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// An access key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Its identifier.
    pub id: String,
    /// Whether it counts.
    pub is_active: bool,
    /// When it was made.
    pub created: OffsetDateTime,
}
