//! `ListObjectVersions` of a bucket without versioning: its objects, each with the version `null`.

use larder_storage::objects::BucketName;

use super::{
    Call,
    call::invalid_argument,
    listing::{self, Asked, Page},
};
use crate::{
    error::S3Result,
    http::Response,
    reply,
    xml::write::{self, ListedVersion, VersionBody},
};

const NULL: &str = "null";

pub(super) async fn run(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let query = &call.query;
    let asked = Asked::of(query)?;
    let key_marker = query.get("key-marker").unwrap_or_default();
    let version_id_marker = query.get("version-id-marker").unwrap_or_default();
    if key_marker.is_empty() && !version_id_marker.is_empty() {
        let message = "A version-id marker cannot be specified without a key marker.";
        return Err(invalid_argument(
            "version-id-marker",
            version_id_marker,
            message,
        ));
    }
    let page = Page::read(&call, bucket, key_marker.to_owned(), asked.max_keys).await?;
    let owner = listing::owner();
    let versions: Vec<_> = page
        .contents(Some(&owner))
        .into_iter()
        .map(version)
        .collect();
    let prefixes = page.prefixes();
    let document = write::ListVersions {
        listing: asked.answered(bucket, &page, &prefixes),
        key_marker,
        version_id_marker,
        next: page.next.as_deref().map(|key| (key, NULL)),
        versions: &versions,
    };
    Ok(reply::xml(document.to_xml()))
}

/// An object as the only, and so newest, version of its key.
fn version(object: write::ListedObject<'_>) -> ListedVersion<'_> {
    ListedVersion {
        key: object.key,
        version_id: NULL,
        is_latest: true,
        body: VersionBody::Object(object),
    }
}
