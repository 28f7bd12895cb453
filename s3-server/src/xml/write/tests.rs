use proptest::prelude::*;
use quick_xml::events::Event;

use super::*;
use crate::checksum::multipart::ObjectChecksum;
use crate::checksum::{Algorithm, checksum};
use crate::error::{S3Code, S3Error};
use crate::xml::TagSet;

const PROLOG: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const NS: &str = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

fn owner() -> Owner {
    Owner {
        id: "id".into(),
        display_name: "larder".into(),
    }
}

fn object<'a>(key: &'a str, owner: Option<&'a Owner>) -> ListedObject<'a> {
    ListedObject {
        key,
        last_modified_ms: 1_255_369_850_000,
        etag: "fba9",
        checksum: Some((Algorithm::Crc64Nvme, ChecksumType::FullObject)),
        size_bytes: 434_234,
        owner,
        storage_class: "STANDARD",
    }
}

const FACTS: &str = "<LastModified>2009-10-12T17:50:50.000Z</LastModified><ETag>&quot;fba9&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>434234</Size>";
const OWNER: &str = "<ID>id</ID><DisplayName>larder</DisplayName>";

const LISTING: Listing<'_> = Listing {
    bucket: "b",
    prefix: "",
    max_keys: 2,
    delimiter: None,
    url_encode: false,
    is_truncated: true,
    common_prefixes: &[],
};

#[test]
fn list_objects_v1_has_the_order_of_aws() {
    let owner = owner();
    let list = ListObjects {
        listing: Listing {
            prefix: "p/",
            delimiter: Some("/"),
            common_prefixes: &["p/z/"],
            ..LISTING
        },
        marker: "",
        next_marker: Some("p/z/"),
        objects: &[object("p/a<b", Some(&owner))],
    };
    let expected = format!(
        "{PROLOG}<ListBucketResult{NS}><Name>b</Name><Prefix>p/</Prefix><Marker></Marker><NextMarker>p/z/</NextMarker><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter><IsTruncated>true</IsTruncated><Contents><Key>p/a&lt;b</Key>{FACTS}<Owner>{OWNER}</Owner><StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>p/z/</Prefix></CommonPrefixes></ListBucketResult>"
    );
    assert_eq!(list.to_xml(), expected);
}

#[test]
fn list_objects_v2_counts_keys_and_encodes_names() {
    let list = ListObjectsV2 {
        listing: Listing {
            prefix: "é ",
            max_keys: 1000,
            delimiter: Some("/"),
            url_encode: true,
            common_prefixes: &["x&/"],
            ..LISTING
        },
        continuation_token: None,
        next_continuation_token: Some("t=="),
        start_after: Some("+"),
        objects: &[object("a b/(3).png", None)],
    };
    let expected = format!(
        "{PROLOG}<ListBucketResult{NS}><Name>b</Name><Prefix>%C3%A9%20</Prefix><NextContinuationToken>t==</NextContinuationToken><StartAfter>%2B</StartAfter><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><Delimiter>/</Delimiter><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><Contents><Key>a%20b/%283%29.png</Key>{FACTS}<StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>x%26/</Prefix></CommonPrefixes></ListBucketResult>"
    );
    assert_eq!(list.to_xml(), expected);
}

#[test]
fn list_versions_shows_versions_and_markers() {
    let owner = owner();
    let version = |key, is_latest, body| ListedVersion {
        key,
        version_id: "null",
        is_latest,
        body,
    };
    let marker = VersionBody::DeleteMarker {
        last_modified_ms: 0,
        owner: Some(&owner),
    };
    let list = ListVersions {
        listing: LISTING,
        key_marker: "",
        version_id_marker: "",
        next: Some(("k", "null")),
        versions: &[
            version("j", true, VersionBody::Object(object("j", None))),
            version("k", false, marker),
        ],
    };
    let expected = format!(
        "{PROLOG}<ListVersionsResult{NS}><Name>b</Name><Prefix></Prefix><KeyMarker></KeyMarker><VersionIdMarker></VersionIdMarker><NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>null</NextVersionIdMarker><MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated><Version><Key>j</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>{FACTS}<StorageClass>STANDARD</StorageClass></Version><DeleteMarker><Key>k</Key><VersionId>null</VersionId><IsLatest>false</IsLatest><LastModified>1970-01-01T00:00:00.000Z</LastModified><Owner>{OWNER}</Owner></DeleteMarker></ListVersionsResult>"
    );
    assert_eq!(list.to_xml(), expected);
}

#[test]
fn buckets_and_locations() {
    let owner = owner();
    let buckets = [Bucket {
        name: "b",
        created_ms: 0,
        region: None,
    }];
    let list = ListBuckets {
        owner: &owner,
        buckets: &buckets,
        continuation_token: None,
        prefix: None,
    };
    let expected = format!(
        "{PROLOG}<ListAllMyBucketsResult{NS}><Owner>{OWNER}</Owner><Buckets><Bucket><Name>b</Name><CreationDate>1970-01-01T00:00:00.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>"
    );
    assert_eq!(list.to_xml(), expected);
    let location =
        |region| format!("{PROLOG}<LocationConstraint{NS}>{region}</LocationConstraint>");
    assert_eq!(location_constraint("us-east-1"), location(""));
    assert_eq!(location_constraint("eu-west-1"), location("eu-west-1"));
}

#[test]
fn multipart_answers() {
    let owner = owner();
    let started = InitiatedUpload {
        bucket: "b",
        key: "k&",
        upload_id: "u",
    };
    let inner = "<Bucket>b</Bucket><Key>k&amp;</Key><UploadId>u</UploadId>";
    let expected = format!(
        "{PROLOG}<InitiateMultipartUploadResult{NS}>{inner}</InitiateMultipartUploadResult>"
    );
    assert_eq!(started.to_xml(), expected);

    let value = checksum(Algorithm::Crc32, b"123456789");
    let sum = ObjectChecksum {
        value,
        kind: ChecksumType::Composite,
        parts: Some(2),
    };
    let completed = CompletedUpload {
        location: "http://h/b/k",
        bucket: "b",
        key: "k",
        etag: "e-2",
        checksum: Some(&sum),
    };
    assert_eq!(
        completed.to_xml(),
        format!(
            "{PROLOG}<CompleteMultipartUploadResult{NS}><Location>http://h/b/k</Location><Bucket>b</Bucket><Key>k</Key><ETag>&quot;e-2&quot;</ETag><ChecksumCRC32>y/Q5Jg==-2</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType></CompleteMultipartUploadResult>"
        )
    );

    let part = ListedPart {
        number: 1,
        last_modified_ms: 0,
        etag: "e",
        size_bytes: 5,
        checksum: Some(value),
    };
    let parts = ListParts {
        bucket: "b",
        key: "k",
        url_encode: false,
        upload_id: "u",
        owner: &owner,
        storage_class: "STANDARD",
        part_number_marker: 0,
        next_part_number_marker: 1,
        max_parts: 1000,
        is_truncated: false,
        checksum: None,
        parts: &[part],
    };
    assert_eq!(
        parts.to_xml(),
        format!(
            "{PROLOG}<ListPartsResult{NS}><Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId><Initiator>{OWNER}</Initiator><Owner>{OWNER}</Owner><StorageClass>STANDARD</StorageClass><PartNumberMarker>0</PartNumberMarker><NextPartNumberMarker>1</NextPartNumberMarker><MaxParts>1000</MaxParts><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>5</Size><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part></ListPartsResult>"
        )
    );

    let upload = ListedUpload {
        key: "k",
        upload_id: "u",
        owner: &owner,
        storage_class: "STANDARD",
        initiated_ms: 0,
        checksum: None,
    };
    let uploads = ListUploads {
        bucket: "b",
        key_marker: "",
        upload_id_marker: "",
        next: None,
        delimiter: None,
        prefix: "",
        max_uploads: 1000,
        url_encode: false,
        is_truncated: false,
        uploads: &[upload],
        common_prefixes: &["p/"],
    };
    assert_eq!(
        uploads.to_xml(),
        format!(
            "{PROLOG}<ListMultipartUploadsResult{NS}><Bucket>b</Bucket><KeyMarker></KeyMarker><UploadIdMarker></UploadIdMarker><NextKeyMarker></NextKeyMarker><NextUploadIdMarker></NextUploadIdMarker><Prefix></Prefix><MaxUploads>1000</MaxUploads><IsTruncated>false</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId><Initiator>{OWNER}</Initiator><Owner>{OWNER}</Owner><StorageClass>STANDARD</StorageClass><Initiated>1970-01-01T00:00:00.000Z</Initiated></Upload><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListMultipartUploadsResult>"
        )
    );
}

#[test]
fn copies_deletes_attributes_tags() {
    let value = checksum(Algorithm::Crc32, b"123456789");
    let whole = ObjectChecksum::whole(value);
    let copy = CopyResult {
        last_modified_ms: 0,
        etag: "e",
        checksum: Some(&whole),
    };
    let time = "<LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>";
    assert_eq!(
        copy_object_result(&copy),
        format!(
            "{PROLOG}<CopyObjectResult{NS}>{time}<ChecksumCRC32>y/Q5Jg==</ChecksumCRC32><ChecksumType>FULL_OBJECT</ChecksumType></CopyObjectResult>"
        )
    );
    assert_eq!(
        copy_part_result(0, "e", None),
        format!("{PROLOG}<CopyPartResult{NS}>{time}</CopyPartResult>")
    );

    let error = S3Error::new(S3Code::AccessDenied);
    let deleted = DeletedObject {
        key: "a",
        version_id: None,
        delete_marker_version_id: Some("v"),
    };
    let failed = FailedDelete {
        key: "b",
        version_id: Some("null"),
        error: &error,
    };
    let outcomes = [
        DeleteOutcome::Deleted(deleted),
        DeleteOutcome::Failed(failed),
    ];
    let failure = "<Error><Key>b</Key><VersionId>null</VersionId><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    assert_eq!(
        delete_result(&outcomes, true),
        format!("{PROLOG}<DeleteResult{NS}>{failure}</DeleteResult>")
    );
    assert_eq!(
        delete_result(&outcomes, false),
        format!(
            "{PROLOG}<DeleteResult{NS}><Deleted><Key>a</Key><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>v</DeleteMarkerVersionId></Deleted>{failure}</DeleteResult>"
        )
    );

    let part = AttributePart {
        number: 1,
        size_bytes: 9,
        checksum: Some(value),
    };
    let attributes = ObjectAttributes {
        etag: Some("e-1"),
        checksum: Some(&whole),
        parts: Some(AttributeParts {
            total_count: 1,
            part_number_marker: 0,
            next_part_number_marker: 1,
            max_parts: 1000,
            is_truncated: false,
            parts: &[part],
        }),
        storage_class: Some("STANDARD"),
        size_bytes: Some(9),
    };
    assert_eq!(
        attributes.to_xml(),
        format!(
            "{PROLOG}<GetObjectAttributesResponse{NS}><ETag>e-1</ETag><Checksum><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32><ChecksumType>FULL_OBJECT</ChecksumType></Checksum><ObjectParts><PartsCount>1</PartsCount><PartNumberMarker>0</PartNumberMarker><NextPartNumberMarker>1</NextPartNumberMarker><MaxParts>1000</MaxParts><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><Size>9</Size><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part></ObjectParts><StorageClass>STANDARD</StorageClass><ObjectSize>9</ObjectSize></GetObjectAttributesResponse>"
        )
    );

    let tags = TagSet::from_header("a=1").expect("valid");
    assert_eq!(
        tagging(&tags),
        format!(
            "{PROLOG}<Tagging{NS}><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
        )
    );
    assert_eq!(
        crate::xml::parse::tagging(tagging(&tags).as_bytes()),
        Ok(tags)
    );
}

#[test]
fn errors_have_no_namespace_and_carry_their_elements() {
    let e = S3Error::new(S3Code::NoSuchKey).element("Key", "a\u{1}<");
    assert_eq!(
        error(&e, "/b/k", "R", "H"),
        format!(
            "{PROLOG}<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a&#x1;&lt;</Key><Resource>/b/k</Resource><RequestId>R</RequestId><HostId>H</HostId></Error>"
        )
    );
}

proptest! {
    #[test]
    fn escaped_text_is_well_formed(text in "\\PC{0,60}|[\\x00-\\x7f]{0,40}") {
        let mut document = String::from("<a>");
        push_escaped(&mut document, &text);
        document.push_str("</a>");
        let mut reader = quick_xml::Reader::from_str(&document);
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Eof => break,
                Event::Start(e) => prop_assert!(e.name().as_ref() == "a"),
                _ => {}
            }
        }
    }

    #[test]
    fn url_encoding_decodes_to_the_same_text(text in "\\PC{0,60}") {
        let encoded = url_encode(&text);
        prop_assert!(!encoded.contains(' ') && !encoded.contains('+'));
        let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().expect("utf-8");
        prop_assert_eq!(decoded, text);
    }
}
