//! What records say of data keys, on bytes from anywhere.

use larder_storage::objects::{BucketName, ObjectKey, Resealed};

use super::{Envelope, Mode, Named, rewrapped};
use crate::{keyring::Keyring, kms::Kms};

/// An envelope, which is read, written again as it was, and opened by nobody.
///
/// # Panics
/// If it opens, or is written in another form.
pub(crate) fn envelope(input: &[u8], ring: &Keyring, kms: &Kms) -> usize {
    let Ok(envelope) = Envelope::parse(input) else {
        return 0;
    };
    assert_eq!(envelope.encode(), input);
    let mut good = 1;
    if envelope.mode == Mode::Kms
        && let Ok(named) = Named::parse(envelope.sealed)
    {
        assert_eq!(named.encode().as_deref(), Some(envelope.sealed));
        good += 1;
    }
    let (bucket, key) = (BucketName::parse("bucket"), ObjectKey::parse("key"));
    if let (Ok(bucket), Ok(key)) = (bucket, key) {
        let resealed = rewrapped((&bucket, &key), input, ring, kms);
        assert!(!matches!(resealed, Resealed::New(_)), "nobody sealed this");
    }
    good
}
