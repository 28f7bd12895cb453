//! `ServerSideEncryptionConfiguration`.

use super::{super::parse::DefaultEncryption, writer::Writer};

/// The default of a bucket.
pub fn bucket_encryption(default: &DefaultEncryption) -> String {
    let mut w = Writer::new("ServerSideEncryptionConfiguration", 256);
    w.nested("Rule", |w| {
        w.nested("ApplyServerSideEncryptionByDefault", |w| {
            match &default.kms {
                None => w.text("SSEAlgorithm", "AES256"),
                Some(key) => {
                    w.text("SSEAlgorithm", "aws:kms");
                    if let Some(key) = key {
                        w.text("KMSMasterKeyID", key);
                    }
                }
            }
        });
        w.value("BucketKeyEnabled", default.bucket_key);
    });
    w.finish()
}
