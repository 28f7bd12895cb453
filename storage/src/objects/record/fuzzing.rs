//! Body of the fuzz target for records: see [`crate::fuzzing`].

use super::{
    AccountRecord, BucketRecord, GarbageRecord, IdentityRecord, KeyCheckRecord, Manifest,
    ObjectRecord, ObjectSummary, PartRecord, UploadRecord, decode_event, encode_event,
};
use crate::fuzzing::settles;

/// Takes the input for each of them.
pub(crate) fn records(input: &[u8]) -> usize {
    let object = ObjectRecord::decode(input);
    let summary = ObjectSummary::decode(input);
    if let (Ok(object), Ok(summary)) = (&object, &summary) {
        assert_eq!((object.size, object.etag), (summary.size, summary.etag));
    }
    assert!(
        summary.is_ok() || object.is_err(),
        "what can be read can be listed"
    );
    settles(input, |bytes| {
        Some(ObjectRecord::decode(bytes).ok()?.encode())
    }) + settles(input, |bytes| {
        Some(PartRecord::decode(bytes).ok()?.encode())
    }) + settles(input, |bytes| {
        Some(BucketRecord::decode(bytes).ok()?.encode())
    }) + settles(input, |bytes| {
        Some(AccountRecord::decode(bytes).ok()?.encode())
    }) + settles(input, |bytes| {
        Some(KeyCheckRecord::decode(bytes).ok()?.encode())
    }) + settles(input, |bytes| {
        Some(IdentityRecord::decode(bytes).ok()?.encode())
    }) + settles(input, |bytes| {
        Some(UploadRecord::decode(bytes).ok()?.encode())
    }) + settles(input, |bytes| {
        Some(GarbageRecord::decode(bytes).ok()?.encode())
    }) + settles(input, |bytes| {
        Some(encode_event(&decode_event(bytes).ok()?))
    }) + settles(input, |mut bytes| {
        let manifest = Manifest::take(&mut bytes)?;
        use_manifest(&manifest);
        Some(manifest.encode())
    })
}

fn use_manifest(manifest: &Manifest) {
    assert!(manifest.parts().count() <= 10_000);
    let Some(size) = manifest.size() else {
        return;
    };
    let parts = manifest.overlaps(&(0..size));
    let sum: u64 = parts.iter().map(|(_, range)| range.end - range.start).sum();
    assert_eq!(sum, size, "the parts are the whole");
}
