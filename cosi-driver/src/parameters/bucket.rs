//! Parameters of a `BucketClass`.

use std::collections::BTreeMap;

use super::{
    reader::Reader,
    table::BUCKET_CLASS,
    values::{count, days, size, tags, tags_text},
};
use crate::{
    backend::{Encryption, Lifecycle, LockMode, LockRule, Profile, Quota, Setting},
    provision::{Parameters, ProvisionError},
};

const TRASH_DAYS: u32 = 7;

/// What a bucket is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketParameters {
    /// How much may be in it.
    pub quota: Quota,
    /// Whether versions are kept.
    pub versioning: bool,
    /// How new objects are locked.
    pub object_lock: Option<LockRule>,
    /// What goes by itself.
    pub lifecycle: Lifecycle,
    /// How its objects are coded.
    pub erasure_profile: Option<Profile>,
    /// How objects are encrypted.
    pub encryption: Option<Encryption>,
    /// Its tags, beside the driver's.
    pub tags: BTreeMap<String, String>,
    /// What happens when it is deleted.
    pub on_delete: OnDelete,
    /// What the server's region has to be.
    pub region: Option<String>,
}

/// What happens to a bucket that is deleted and is not empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDelete {
    /// It stays.
    #[default]
    Refuse,
    /// All that is in it goes.
    Empty,
    /// It goes after some days, until which it can be had back.
    Trash {
        /// How many.
        days: u32,
    },
}

impl BucketParameters {
    /// Reads the parameters of a class.
    ///
    /// # Errors
    /// [`ProvisionError::Invalid`] with what would be right.
    pub fn parse(parameters: &Parameters) -> Result<Self, ProvisionError> {
        let reader = Reader::new("BucketClass", &BUCKET_CLASS, parameters)?;
        let object_lock = object_lock(&reader)?;
        let versioning = versioning(&reader, object_lock.is_some())?;
        let read = Self {
            quota: Quota {
                bytes: reader.read("quotaBytes", size)?,
                objects: reader.read("quotaObjects", count)?,
            },
            versioning,
            object_lock,
            lifecycle: lifecycle(&reader, versioning)?,
            erasure_profile: reader.read("erasureProfile", Profile::parse)?,
            encryption: reader.read("encryption", encryption)?,
            tags: reader.read("tags", tags)?.unwrap_or_default(),
            on_delete: on_delete(&reader)?,
            region: reader.read("region", region)?,
        };
        Ok(read)
    }

    /// The same for all ways to write the same thing, without defaults.
    pub fn canonical(&self) -> Parameters {
        let mut out = Parameters::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                out.insert(name.to_owned(), value);
            }
        };
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let day = |value: Option<u32>| value.map(|value| value.to_string());
        put("quotaBytes", number(self.quota.bytes));
        put("quotaObjects", number(self.quota.objects));
        put("versioning", self.versioning.then(|| "Enabled".to_owned()));
        let lock = self.object_lock;
        put(
            "objectLock",
            lock.map(|lock| lock_word(lock.mode).to_owned()),
        );
        put("objectLockDays", day(lock.map(|lock| lock.days)));
        put("lifecycleExpireDays", day(self.lifecycle.expire_days));
        put("noncurrentExpireDays", day(self.lifecycle.noncurrent_days));
        put("abortMultipartDays", day(self.lifecycle.abort_days));
        put(
            "erasureProfile",
            self.erasure_profile.map(|profile| profile.to_string()),
        );
        put("encryption", self.encryption.as_ref().map(encryption_text));
        put(
            "tags",
            (!self.tags.is_empty()).then(|| tags_text(&self.tags)),
        );
        match self.on_delete {
            OnDelete::Refuse => {}
            OnDelete::Empty => put("onDelete", Some("Empty".to_owned())),
            OnDelete::Trash { days } => {
                put("onDelete", Some("Trash".to_owned()));
                put("trashDays", Some(days.to_string()));
            }
        }
        put("region", self.region.clone());
        out
    }

    /// What has to be set about a new bucket, in the order in which it can be.
    pub fn settings(&self) -> Vec<Setting> {
        let lifecycle = Some(self.lifecycle).filter(|lifecycle| !lifecycle.is_empty());
        let quota = Some(self.quota).filter(|quota| *quota != Quota::default());
        // A quota comes last: what refuses it is the one that needs more than S3.
        let all = [
            self.versioning.then_some(Setting::Versioning),
            self.object_lock.map(Setting::ObjectLock),
            lifecycle.map(Setting::Lifecycle),
            self.encryption.clone().map(Setting::Encryption),
            self.erasure_profile.map(Setting::Profile),
            quota.map(Setting::Quota),
        ];
        all.into_iter().flatten().collect()
    }
}

fn versioning(reader: &Reader<'_>, is_locked: bool) -> Result<bool, ProvisionError> {
    let word = |text: &str| match text {
        "Enabled" => Some(true),
        "Disabled" => Some(false),
        _ => None,
    };
    match reader.read("versioning", word)? {
        Some(false) if is_locked => {
            Err(reader
                .refused("objectLock keeps versions: leave versioning out, or set it to Enabled"))
        }
        given => Ok(given.unwrap_or(is_locked)),
    }
}

fn object_lock(reader: &Reader<'_>) -> Result<Option<LockRule>, ProvisionError> {
    let mode = |text: &str| match text {
        "Governance" => Some(LockMode::Governance),
        "Compliance" => Some(LockMode::Compliance),
        _ => None,
    };
    let mode = reader.read("objectLock", mode)?;
    match (mode, reader.read("objectLockDays", days)?) {
        (None, None) => Ok(None),
        (Some(mode), Some(days)) => Ok(Some(LockRule { mode, days })),
        (Some(_), None) => Err(reader.refused("objectLock needs objectLockDays: for how long")),
        (None, Some(_)) => {
            Err(reader.refused("objectLockDays needs objectLock: Governance or Compliance"))
        }
    }
}

fn lock_word(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "Governance",
        LockMode::Compliance => "Compliance",
    }
}

fn lifecycle(reader: &Reader<'_>, versioning: bool) -> Result<Lifecycle, ProvisionError> {
    let read = Lifecycle {
        expire_days: reader.read("lifecycleExpireDays", days)?,
        noncurrent_days: reader.read("noncurrentExpireDays", days)?,
        abort_days: reader.read("abortMultipartDays", days)?,
    };
    if read.noncurrent_days.is_some() && !versioning {
        return Err(reader.refused(
            "noncurrentExpireDays needs versioning: Enabled; without it there are no noncurrent versions",
        ));
    }
    Ok(read)
}

fn encryption(text: &str) -> Option<Encryption> {
    const MAX_KEY_CHARS: usize = 256;
    let may_be = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
    match text {
        "AES256" => Some(Encryption::Aes256),
        "aws:kms" => Some(Encryption::Kms(None)),
        text => {
            let key = text.strip_prefix("aws:kms:")?;
            let is_key = !key.is_empty() && key.len() <= MAX_KEY_CHARS && key.chars().all(may_be);
            is_key.then(|| Encryption::Kms(Some(key.to_owned())))
        }
    }
}

fn encryption_text(encryption: &Encryption) -> String {
    match encryption {
        Encryption::Aes256 => "AES256".to_owned(),
        Encryption::Kms(None) => "aws:kms".to_owned(),
        Encryption::Kms(Some(key)) => format!("aws:kms:{key}"),
    }
}

fn region(text: &str) -> Option<String> {
    const MAX_CHARS: usize = 64;
    let may_be = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_region = !text.is_empty() && text.len() <= MAX_CHARS && text.bytes().all(may_be);
    is_region.then(|| text.to_owned())
}

fn on_delete(reader: &Reader<'_>) -> Result<OnDelete, ProvisionError> {
    let trash_days = reader.read("trashDays", days)?;
    let trash = OnDelete::Trash {
        days: trash_days.unwrap_or(TRASH_DAYS),
    };
    let word = |text: &str| match text {
        "Refuse" => Some(OnDelete::Refuse),
        "Empty" => Some(OnDelete::Empty),
        "Trash" => Some(trash),
        _ => None,
    };
    let found = reader.read("onDelete", word)?.unwrap_or_default();
    if trash_days.is_some() && found != trash {
        return Err(reader.refused("trashDays needs onDelete: Trash"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
