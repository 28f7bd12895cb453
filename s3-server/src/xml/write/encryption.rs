//! `ServerSideEncryptionConfiguration`.

use super::writer::Writer;

/// `AES256` as the default of a bucket.
pub fn bucket_encryption(bucket_key: bool) -> String {
    let mut w = Writer::new("ServerSideEncryptionConfiguration", 256);
    w.nested("Rule", |w| {
        w.nested("ApplyServerSideEncryptionByDefault", |w| {
            w.text("SSEAlgorithm", "AES256");
        });
        w.value("BucketKeyEnabled", bucket_key);
    });
    w.finish()
}
