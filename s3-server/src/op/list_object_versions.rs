//! `ListObjectVersions`: in a bucket that never had versions, its objects, each with the version `null`.

use larder_storage::objects::{
    BucketName, ListVersions, ListedVersion, VersionEntry, VersionsPage,
};

use super::{
    Call,
    call::{invalid_argument, parse_version},
    checksums,
    listing::{self, Asked},
    metadata::STANDARD,
    owners::Owners,
};
use crate::{
    error::S3Result,
    http::Response,
    reply,
    xml::write::{self, VersionBody},
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
    let marker = Some(version_id_marker).filter(|marker| !marker.is_empty());
    let request = ListVersions {
        bucket: bucket.clone(),
        prefix: query.get("prefix").unwrap_or_default().to_owned(),
        delimiter: query.get("delimiter").unwrap_or_default().to_owned(),
        after: key_marker.to_owned(),
        after_version: marker.map(parse_version).transpose()?,
        limit: asked.max_keys as usize,
    };
    let page = call.store.list_versions(request).await?;
    let next = page.next.as_ref().map(|(key, version)| {
        let version = version.map_or(NULL.to_owned(), |version| version.to_string());
        (key.as_str(), version)
    });
    let (shown, prefixes) = split(&page);
    let of_each = shown.iter().map(|shown| shown.version.object.owner);
    let owners = Owners::of(bucket, &call, of_each).await?;
    let versions: Vec<_> = shown.iter().map(|shown| shown.for_xml(&owners)).collect();
    let document = write::ListVersions {
        listing: asked.answered(bucket, next.is_some(), &prefixes),
        key_marker,
        version_id_marker,
        next: next.as_ref().map(|(key, version)| (*key, version.as_str())),
        versions: &versions,
    };
    Ok(reply::xml(document.to_xml()))
}

/// A version, and what of it is text.
struct Shown<'a> {
    version: &'a ListedVersion,
    id: String,
    etag: String,
}

fn split(page: &VersionsPage) -> (Vec<Shown<'_>>, Vec<&str>) {
    let (mut shown, mut prefixes) = (Vec::new(), Vec::new());
    for entry in &page.entries {
        match entry {
            VersionEntry::CommonPrefix(prefix) => prefixes.push(prefix.as_str()),
            VersionEntry::Version(version) => shown.push(Shown {
                version,
                id: version.id.to_string(),
                etag: version.object.etag.to_string(),
            }),
        }
    }
    (shown, prefixes)
}

impl Shown<'_> {
    fn for_xml<'a>(&'a self, owners: &'a Owners) -> write::ListedVersion<'a> {
        let object = &self.version.object;
        let last_modified_ms = listing::millis(object.modified_unix_millis);
        let owner = Some(owners.of_object(object.owner));
        let body = if self.version.is_delete_marker {
            VersionBody::DeleteMarker {
                last_modified_ms,
                owner,
            }
        } else {
            VersionBody::Object(write::ListedObject {
                key: object.key.as_str(),
                last_modified_ms,
                etag: &self.etag,
                checksum: checksums::listed(object.checksum),
                size_bytes: object.size,
                owner,
                storage_class: STANDARD,
            })
        };
        write::ListedVersion {
            key: object.key.as_str(),
            version_id: &self.id,
            is_latest: self.version.is_latest,
            body,
        }
    }
}
