//! What parameters there are.

use crate::policy;

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it may be.
    pub values: &'static str,
    /// What it is where it is left out.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const fn key(
    name: &'static str,
    values: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        values,
        default,
        meaning,
    }
}

const SIZE: &str = "a number of bytes, also as 500Mi, 10Gi, 2Ti or 10GB";
const DAYS: &str = "a number of days, 1 to 36500";

/// Parameters of a `BucketClass`.
pub static BUCKET_CLASS: [Key; 14] = [
    key(
        "quotaBytes",
        SIZE,
        "no bound",
        "How much may be in the bucket, all versions together. A write that would be too much is refused with `403 QuotaExceeded`.",
    ),
    key(
        "quotaObjects",
        "a number, at least 1",
        "no bound",
        "How many objects may be in the bucket, all versions counted.",
    ),
    key(
        "versioning",
        "Enabled, Disabled",
        "Disabled; Enabled with objectLock",
        "Whether overwritten and deleted objects are kept as versions.",
    ),
    key(
        "objectLock",
        "Governance, Compliance",
        "off",
        "New objects can't be deleted or overwritten for objectLockDays: nobody can in mode Compliance; in mode Governance those can who have `s3:BypassGovernanceRetention`, which no access of this driver gives.",
    ),
    key(
        "objectLockDays",
        DAYS,
        "none; needed with objectLock",
        "For how long.",
    ),
    key(
        "lifecycleExpireDays",
        DAYS,
        "never",
        "Objects go by themselves after so many days.",
    ),
    key(
        "noncurrentExpireDays",
        DAYS,
        "never",
        "Versions go by themselves so many days after they were overwritten or deleted. Needs versioning.",
    ),
    key(
        "abortMultipartDays",
        DAYS,
        "never",
        "Uploads that were not completed go by themselves after so many days.",
    ),
    key(
        "erasureProfile",
        "data and parity shards, such as 4+2",
        "the server's",
        "How objects are coded: into so many shards, of which as many may be lost as there are parity shards. Needs that many disks, and a server whose own profile has as much parity; without either, the claim is refused.",
    ),
    key(
        "encryption",
        "AES256, aws:kms, aws:kms:KEY",
        "as the server has it",
        "How objects are encrypted where their writer does not say.",
    ),
    key(
        "tags",
        "key=value,key=value; at most 20",
        "none",
        "Tags of the bucket, beside the driver's own, which begin with `cosi.larder.dev/`.",
    ),
    key(
        "onDelete",
        "Refuse, Empty, Trash",
        "Refuse",
        "What happens to a bucket that is deleted and is not empty. Refuse: nothing, until somebody has emptied it. Empty: all that is in it is deleted, but for what is locked. Trash: nobody can use it any more, and after trashDays it is emptied and deleted; a claim for it by name takes it out again. What its lifecycle deletes in the meantime is gone.",
    ),
    key(
        "trashDays",
        DAYS,
        "7",
        "How long a bucket is in the trash. Needs onDelete Trash.",
    ),
    key(
        "region",
        "the server's region",
        "the server's region",
        "Has to be the server's own region: for classes that are written for several drivers.",
    ),
];

/// Parameters of a `BucketAccessClass`.
pub static ACCESS_CLASS: [Key; 7] = [
    key(
        "accessMode",
        "ReadWrite, ReadOnly, WriteOnly, AppendOnly, Admin",
        "ReadWrite",
        "What may be done. ReadOnly: reading and listing. WriteOnly: writing, overwriting included, without reading or listing. AppendOnly: reading, listing and writing what is not there yet; nothing is overwritten or deleted. ReadWrite: reading, listing, writing, deleting; versions can't be deleted. Admin: everything, the bucket's configuration and deleting versions included, but for deleting the bucket, its tags and going round locks.",
    ),
    key(
        "prefix",
        "the beginning of keys, such as db1/; no *, ? or $",
        "the whole bucket",
        "Only objects whose keys begin so. Not with accessMode Admin.",
    ),
    key(
        "sourceCIDRs",
        "addresses or networks, such as 10.0.0.0/8,fd00::/8; at most 20",
        "from everywhere",
        "Only requests from there are served.",
    ),
    key(
        "rotateEvery",
        "a time of at least 1h, such as 90d, 12h",
        "never",
        "A new access key is made so often.",
    ),
    key(
        "rotateOverlap",
        "a time of at least 1m, shorter than rotateEvery",
        "24h, at most half of rotateEvery",
        "How long the old access key counts after a new one was made.",
    ),
    key(
        "secretFormats",
        "some of cosi, aws, cnpg, percona, zalando (or wal-g), rclone, s3cfg, clickhouse, velero",
        "cosi,aws",
        "What is in the Secret beside `BucketInfo`: see [secret formats](secret-formats.md).",
    ),
    key(
        "endpoint",
        "internal, external",
        "internal",
        "Which address of the server is in the Secret.",
    ),
];

/// `docs/cosi-parameters.md`.
pub fn reference() -> String {
    let parts = [
        INTRODUCTION.to_owned(),
        table("BucketClass", BUCKET_TEXT, &BUCKET_CLASS),
        table("BucketAccessClass", ACCESS_TEXT, &ACCESS_CLASS),
        DRIVER_TEXT.replace("POLICY", &policy::of_driver("cosi.larder.dev")),
    ];
    parts.concat()
}

const INTRODUCTION: &str = "\
# Parameters of BucketClass and BucketAccessClass

What `larder-cosi` understands in `parameters` of the two classes. All are optional. An unknown key, a value that does not fit and a combination that makes no sense
are refused with a message that says what would be right, on the claim or access that asked. This page is made of the table that the driver reads
parameters by (`LARDER_REGENERATE=1 cargo nextest run -p larder-cosi reference`).
";

const BUCKET_TEXT: &str = "\
A bucket keeps the parameters it was made with. Asking for the same bucket with others is refused, with a list of what differs; how little or much of it there
is to be changed later is for whoever has `accessMode: Admin`.
";

const ACCESS_TEXT: &str = "\
What may be done (`accessMode`, `prefix`, `sourceCIDRs`) is fixed when an access is given; the rest may be changed in the class at any time. Where COSI's version
lets the access itself name a mode for each bucket (v1alpha2), that counts and not the class's.

Below a `prefix`, `HeadBucket` is refused, as on AWS: whoever may ask it may list the whole bucket. Clients that ask it before anything else (barman) need an access
without a prefix.
";

const DRIVER_TEXT: &str = "
## What the driver itself has to be allowed
The chart gives the driver the server's root, and then there is nothing to do. A user of an account of its own does as well; it needs a policy that lets it make buckets, and users and roles below
`/cosi/<driver's name>/`:

```json
POLICY
```

`quotaBytes` and `quotaObjects` are set by Larder's own API ([admin-api.md](admin-api.md)), which only the server's root may ask: such a driver refuses classes that have them. Whoever may make users and their policies can give
itself any right to the account's buckets: keep the driver's key as you keep the root's.
";

fn table(class: &str, text: &str, keys: &[Key]) -> String {
    let row = |key: &Key| {
        let (name, values) = (key.name, key.values);
        let (default, meaning) = (key.default, key.meaning);
        format!("| `{name}` | {values} | {default} | {meaning} |\n")
    };
    let head = format!(
        "\n## {class}\n{text}\n| parameter | values | default | what it does |\n|---|---|---|---|\n"
    );
    head + &keys.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_as_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cosi-parameters.md");
        if std::env::var_os("LARDER_REGENERATE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == reference(),
            "docs/cosi-parameters.md is not as the table says: LARDER_REGENERATE=1 writes it anew"
        );
    }
}
