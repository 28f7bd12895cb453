//! Names that upstream's controller and sidecar use too, so that one can take over from the other.

/// Keeps a claim until its bucket is seen to.
pub const CLAIM_FINALIZER: &str = "cosi.objectstorage.k8s.io/bucketclaim-protection";
/// Keeps a bucket object until the bucket in the store is seen to.
pub const BUCKET_FINALIZER: &str = "cosi.objectstorage.k8s.io/bucket-protection";
/// Says that a bucket had accesses.
pub const BUCKET_ACCESS_FINALIZER: &str =
    "cosi.objectstorage.k8s.io/bucketaccess-bucket-protection";
/// Keeps an access until its account is gone.
pub const ACCESS_FINALIZER: &str = "cosi.objectstorage.k8s.io/bucketaccess-protection";
/// Keeps a Secret as long as the access it belongs to.
pub const SECRET_FINALIZER: &str = "cosi.objectstorage.k8s.io/secret-protection";

/// Whose an object is, said on the object itself: finalizers have one name for all drivers, and class and bucket may be gone when it is deleted.
pub const DRIVER_ANNOTATION: &str = "cosi.larder.dev/driver";

/// The bucket object of a claim, and the bucket in the store.
pub fn bucket_name(claim_uid: &str) -> String {
    format!("bucket-{claim_uid}")
}

/// The account of an access.
pub fn account_name(access_uid: &str) -> String {
    format!("ba-{access_uid}")
}

/// The name that `BucketInfo` gives itself.
pub fn info_name(access_uid: &str) -> String {
    format!("bc-{access_uid}")
}

/// Whether two names are those of one driver.
pub fn same_driver(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
