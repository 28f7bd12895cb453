//! The bytes of every message and the paths of every method, as upstream has them: field by field, put together by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, fmt::Debug};

use larder_cosi::grpc::pb::{descriptors, r1, r2, r3, v1alpha1, v1alpha2};
use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, field_descriptor_proto::Type};

/// A field of bytes: a string, or a message.
fn bytes(field: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let length = u8::try_from(value.len()).unwrap();
    assert!(length < 128, "a length of one byte");
    [&[field << 3 | 2, length], value].concat()
}

/// A field of an enum.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// A field of an entry of a map from strings to strings.
fn entry(field: u8, key: &str, value: &str) -> Vec<u8> {
    bytes(field, [bytes(1, key), bytes(2, value)].concat())
}

fn parameters() -> BTreeMap<String, String> {
    [("k".to_owned(), "v".to_owned())].into()
}

/// The message has these fields, both ways, and is passed over where it is not known.
#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "so that messages can be written in place"
)]
fn pinned<M: Message + Default + PartialEq + Debug>(message: M, fields: &[Vec<u8>]) {
    let expected = fields.concat();
    assert_eq!(message.encode_to_vec(), expected, "{message:?}");
    assert_eq!(M::decode(expected.as_slice()).unwrap(), message);
    let with_unknown = [expected, bytes(15, "later")].concat();
    assert_eq!(M::decode(with_unknown.as_slice()).unwrap(), message);
}

mod released {
    use super::*;
    use v1alpha1::*;

    #[test]
    fn identity() {
        pinned(DriverGetInfoRequest {}, &[]);
        let name = "n".into();
        pinned(DriverGetInfoResponse { name }, &[bytes(1, "n")]);
    }

    #[test]
    fn protocols() {
        let s3 = || S3 {
            region: "r".into(),
            signature_version: S3SignatureVersion::S3v4.into(),
        };
        let s3_bytes = [bytes(1, "r"), number(2, 2)];
        pinned(s3(), &s3_bytes);
        let azure = || AzureBlob {
            storage_account: "a".into(),
        };
        pinned(azure(), &[bytes(1, "a")]);
        let gcs = || Gcs {
            private_key_name: "a".into(),
            project_id: "b".into(),
            service_account: "c".into(),
        };
        let gcs_bytes = [bytes(1, "a"), bytes(2, "b"), bytes(3, "c")];
        pinned(gcs(), &gcs_bytes);
        let of = |it| Protocol { r#type: Some(it) };
        pinned(of(protocol::Type::S3(s3())), &[bytes(1, s3_bytes.concat())]);
        pinned(
            of(protocol::Type::AzureBlob(azure())),
            &[bytes(2, bytes(1, "a"))],
        );
        pinned(
            of(protocol::Type::Gcs(gcs())),
            &[bytes(3, gcs_bytes.concat())],
        );
    }

    #[test]
    fn buckets() {
        let create = DriverCreateBucketRequest {
            name: "n".into(),
            parameters: parameters(),
        };
        pinned(create, &[bytes(1, "n"), entry(2, "k", "v")]);
        let created = DriverCreateBucketResponse {
            bucket_id: "b".into(),
            bucket_info: Some(Protocol { r#type: None }),
        };
        pinned(created, &[bytes(1, "b"), bytes(2, "")]);
        let delete = DriverDeleteBucketRequest {
            bucket_id: "b".into(),
            delete_context: parameters(),
        };
        pinned(delete, &[bytes(1, "b"), entry(2, "k", "v")]);
        pinned(DriverDeleteBucketResponse {}, &[]);
    }

    #[test]
    fn access() {
        let grant = DriverGrantBucketAccessRequest {
            bucket_id: "b".into(),
            name: "n".into(),
            authentication_type: AuthenticationType::Iam.into(),
            parameters: parameters(),
        };
        let fields = [
            bytes(1, "b"),
            bytes(2, "n"),
            number(3, 2),
            entry(4, "k", "v"),
        ];
        pinned(grant, &fields);
        let details = || CredentialDetails {
            secrets: parameters(),
        };
        pinned(details(), &[entry(1, "k", "v")]);
        let granted = DriverGrantBucketAccessResponse {
            account_id: "a".into(),
            credentials: [("s3".to_owned(), details())].into(),
        };
        let credentials = [bytes(1, "s3"), bytes(2, entry(1, "k", "v"))].concat();
        pinned(granted, &[bytes(1, "a"), bytes(2, credentials)]);
        let revoke = DriverRevokeBucketAccessRequest {
            bucket_id: "b".into(),
            account_id: "a".into(),
            revoke_access_context: parameters(),
        };
        let fields = [bytes(1, "b"), bytes(2, "a"), entry(3, "k", "v")];
        pinned(revoke, &fields);
        pinned(DriverRevokeBucketAccessResponse {}, &[]);
    }

    #[test]
    fn credentials_are_in_no_debug_text() {
        let details = CredentialDetails {
            secrets: [("accessSecretKey".to_owned(), "hush".to_owned())].into(),
        };
        let granted = DriverGrantBucketAccessResponse {
            account_id: "a".into(),
            credentials: [("s3".to_owned(), details)].into(),
        };
        let text = format!("{granted:?} {granted:#?}");
        assert!(
            text.contains("accessSecretKey") && !text.contains("hush"),
            "{text}"
        );
    }
}

mod shared {
    use super::*;
    use v1alpha2::*;

    pub(super) fn s3() -> ObjectProtocol {
        ObjectProtocol {
            r#type: object_protocol::Type::S3.into(),
        }
    }

    pub(super) fn by_key() -> AuthenticationType {
        AuthenticationType {
            r#type: authentication_type::Type::Key.into(),
        }
    }

    /// An answer with a bucket, and its bytes.
    pub(super) fn info() -> (ObjectProtocolAndBucketInfo, Vec<u8>) {
        let s3 = S3BucketInfo {
            bucket_id: "b".into(),
            endpoint: "e".into(),
            region: "r".into(),
            addressing_style: Some(S3AddressingStyle {
                style: s3_addressing_style::Style::Virtual.into(),
            }),
        };
        let info = ObjectProtocolAndBucketInfo {
            s3: Some(s3),
            ..Default::default()
        };
        let style = bytes(4, number(1, 2));
        let fields = [bytes(1, "b"), bytes(2, "e"), bytes(3, "r"), style].concat();
        (info, bytes(1, fields))
    }

    /// Fields 2 to 5 of what concerns access.
    pub(super) fn access_fields() -> Vec<u8> {
        let protocol = bytes(2, number(1, 1));
        let authentication = bytes(3, number(1, 1));
        [protocol, authentication, bytes(4, "s"), entry(5, "k", "v")].concat()
    }

    #[test]
    fn identity() {
        pinned(DriverGetInfoRequest {}, &[]);
        let info = DriverGetInfoResponse {
            name: "n".into(),
            supported_protocols: vec![s3()],
        };
        pinned(info, &[bytes(1, "n"), bytes(2, number(1, 1))]);
    }

    #[test]
    fn enums() {
        use authentication_type::Type as Authentication;
        use object_protocol::Type as Protocol;
        use r1::access_mode::Mode as Early;
        use r3::access_mode::Mode;
        use s3_addressing_style::Style;
        let protocols = [
            Protocol::Unknown,
            Protocol::S3,
            Protocol::Azure,
            Protocol::Gcs,
        ];
        assert_eq!(protocols.map(i32::from), [0, 1, 2, 3]);
        let ways = [
            Authentication::Unknown,
            Authentication::Key,
            Authentication::ServiceAccount,
        ];
        assert_eq!(ways.map(i32::from), [0, 1, 2]);
        let styles = [Style::Unknown, Style::Path, Style::Virtual];
        assert_eq!(styles.map(i32::from), [0, 1, 2]);
        let early = [
            Early::Unknown,
            Early::ReadWrite,
            Early::ReadOnly,
            Early::WriteOnly,
        ];
        assert_eq!(early.map(i32::from), [0, 1, 2, 3]);
        let modes = [
            Mode::Unknown,
            Mode::Any,
            Mode::ReadWrite,
            Mode::ReadOnly,
            Mode::WriteOnly,
        ];
        assert_eq!(modes.map(i32::from), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn where_buckets_are() {
        let (s3, s3_bytes) = info();
        pinned(s3, &[s3_bytes]);
        let azure = AzureBucketInfo {
            storage_account: "a".into(),
        };
        let gcs = GcsBucketInfo {
            project_id: "p".into(),
            bucket_name: "b".into(),
        };
        let both = ObjectProtocolAndBucketInfo {
            s3: None,
            azure: Some(azure),
            gcs: Some(gcs),
        };
        let gcs = [bytes(1, "p"), bytes(2, "b")].concat();
        pinned(both, &[bytes(2, bytes(1, "a")), bytes(3, gcs)]);
    }

    pub(super) fn credentials() -> CredentialInfo {
        CredentialInfo {
            s3: Some(S3CredentialInfo {
                access_key_id: "hush-1".into(),
                access_secret_key: "hush-2".into(),
            }),
            azure: Some(AzureCredentialInfo {
                access_token: "hush-3".into(),
                expiry_timestamp: "hush-4".into(),
            }),
            gcs: Some(GcsCredentialInfo {
                access_id: "hush-5".into(),
                access_secret: "hush-6".into(),
                private_key_name: "hush-7".into(),
                service_account: "hush-8".into(),
            }),
        }
    }

    /// Of [`credentials`].
    pub(super) fn credential_bytes() -> Vec<Vec<u8>> {
        let hush = |field, number: u8| bytes(field, format!("hush-{number}"));
        let gcs = (1..=4)
            .map(|field| hush(field, field + 4))
            .collect::<Vec<_>>();
        vec![
            bytes(1, [hush(1, 1), hush(2, 2)].concat()),
            bytes(2, [hush(1, 3), hush(2, 4)].concat()),
            bytes(3, gcs.concat()),
        ]
    }

    #[test]
    fn credentials_are_pinned_and_in_no_debug_text() {
        pinned(credentials(), &credential_bytes());
        let text = format!("{:?} {:#?}", credentials(), credentials());
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn what_removes() {
        let delete = DriverDeleteBucketRequest {
            bucket_id: "b".into(),
            parameters: parameters(),
        };
        pinned(delete, &[bytes(1, "b"), entry(4, "k", "v")]);
        pinned(DriverDeleteBucketResponse {}, &[]);
        let revoke = DriverRevokeBucketAccessRequest {
            account_id: "a".into(),
            protocol: Some(s3()),
            authentication_type: Some(by_key()),
            service_account_name: "s".into(),
            parameters: parameters(),
            buckets: vec![driver_revoke_bucket_access_request::AccessedBucket {
                bucket_id: "b".into(),
            }],
        };
        let buckets = bytes(6, bytes(1, "b"));
        pinned(revoke, &[bytes(1, "a"), access_fields(), buckets]);
        pinned(DriverRevokeBucketAccessResponse {}, &[]);
    }
}

/// What the revisions have in common, under one name each.
macro_rules! revision {
    ($name:ident) => {
        use super::{
            shared::{access_fields, by_key, credential_bytes, credentials, info, s3},
            *,
        };
        use $name::*;

        fn mode(number: i32) -> Option<AccessMode> {
            Some(AccessMode { mode: number })
        }

        /// What is asked of a bucket: its name in field 1, protocols, parameters.
        fn bucket_fields() -> Vec<u8> {
            [bytes(1, "n"), bytes(2, number(1, 1)), entry(4, "k", "v")].concat()
        }

        fn granted_buckets() -> (
            Vec<driver_grant_bucket_access_response::BucketInfo>,
            Vec<u8>,
        ) {
            let (bucket_info, info_bytes) = info();
            let granted = driver_grant_bucket_access_response::BucketInfo {
                bucket_id: "b".into(),
                bucket_info: Some(bucket_info),
            };
            let fields = [bytes(1, "b"), bytes(2, info_bytes)].concat();
            (vec![granted], bytes(2, fields))
        }
    };
}

/// What R2 and R3 have in common.
macro_rules! with_identifiers {
    () => {
        #[test]
        fn identifiers_of_buckets() {
            let generate = DriverGenerateBucketIdRequest {
                name: "n".into(),
                protocols: vec![s3()],
                parameters: parameters(),
            };
            pinned(generate, &[bucket_fields()]);
            let bucket_id = "b".into();
            pinned(
                DriverGenerateBucketIdResponse { bucket_id },
                &[bytes(1, "b")],
            );
        }

        #[test]
        fn buckets() {
            let create = DriverCreateBucketRequest {
                bucket_id: "n".into(),
                protocols: vec![s3()],
                parameters: parameters(),
            };
            pinned(create, &[bucket_fields()]);
            let get = DriverGetBucketRequest {
                bucket_id: "n".into(),
                protocols: vec![s3()],
                parameters: parameters(),
            };
            pinned(get, &[bucket_fields()]);
            let (protocols, info_bytes) = info();
            let got = DriverGetBucketResponse {
                protocols: Some(protocols),
            };
            pinned(got, &[bytes(2, info_bytes)]);
        }

        fn accessed() -> driver_grant_bucket_access_request::AccessedBucket {
            driver_grant_bucket_access_request::AccessedBucket {
                bucket_id: "b".into(),
                object_data_access_mode: mode(2),
                object_metadata_access_mode: mode(1),
                bucket_metadata_access_mode: mode(4),
            }
        }

        fn accessed_bytes() -> Vec<u8> {
            let modes = [(2, 2), (3, 1), (4, 4)];
            let modes = modes.map(|(field, mode)| bytes(field, number(1, mode)));
            bytes(6, [bytes(1, "b"), modes.concat()].concat())
        }
    };
}

mod revision_1 {
    revision!(r1);

    #[test]
    fn buckets() {
        let create = DriverCreateBucketRequest {
            name: "n".into(),
            protocols: vec![s3()],
            parameters: parameters(),
        };
        pinned(create, &[bucket_fields()]);
        let (protocols, info_bytes) = info();
        let created = DriverCreateBucketResponse {
            bucket_id: "b".into(),
            protocols: Some(protocols.clone()),
        };
        pinned(created, &[bytes(1, "b"), bytes(2, &info_bytes)]);
        let get = DriverGetExistingBucketRequest {
            existing_bucket_id: "n".into(),
            protocols: vec![s3()],
            parameters: parameters(),
        };
        pinned(get, &[bucket_fields()]);
        let got = DriverGetExistingBucketResponse {
            bucket_id: "b".into(),
            protocols: Some(protocols),
        };
        pinned(got, &[bytes(1, "b"), bytes(2, info_bytes)]);
    }

    #[test]
    fn access() {
        let grant = DriverGrantBucketAccessRequest {
            account_name: "a".into(),
            protocol: Some(s3()),
            authentication_type: Some(by_key()),
            service_account_name: "s".into(),
            parameters: parameters(),
            buckets: vec![driver_grant_bucket_access_request::AccessedBucket {
                bucket_id: "b".into(),
                access_mode: mode(3),
            }],
        };
        let bucket = [bytes(1, "b"), bytes(2, number(1, 3))].concat();
        pinned(grant, &[bytes(1, "a"), access_fields(), bytes(6, bucket)]);
        let (buckets, bucket_bytes) = granted_buckets();
        let granted = DriverGrantBucketAccessResponse {
            account_id: "a".into(),
            buckets,
            credentials: Some(credentials()),
        };
        let credentials = bytes(3, credential_bytes().concat());
        pinned(granted, &[bytes(1, "a"), bucket_bytes, credentials]);
    }
}

mod revision_2 {
    revision!(r2);
    with_identifiers!();

    #[test]
    fn a_created_bucket_has_its_protocols_in_field_2() {
        let (protocols, info_bytes) = info();
        let created = DriverCreateBucketResponse {
            protocols: Some(protocols),
        };
        pinned(created, &[bytes(2, info_bytes)]);
    }

    #[test]
    fn access() {
        let grant = DriverGrantBucketAccessRequest {
            account_name: "a".into(),
            protocol: Some(s3()),
            authentication_type: Some(by_key()),
            service_account_name: "s".into(),
            parameters: parameters(),
            buckets: vec![accessed()],
        };
        pinned(grant, &[bytes(1, "a"), access_fields(), accessed_bytes()]);
        let (buckets, bucket_bytes) = granted_buckets();
        let granted = DriverGrantBucketAccessResponse {
            account_id: "a".into(),
            buckets,
            credentials: Some(credentials()),
        };
        let credentials = bytes(3, credential_bytes().concat());
        pinned(granted, &[bytes(1, "a"), bucket_bytes, credentials]);
    }
}

mod revision_3 {
    revision!(r3);
    with_identifiers!();

    #[test]
    fn a_created_bucket_has_its_protocols_in_field_1() {
        let (protocols, info_bytes) = info();
        let created = DriverCreateBucketResponse {
            protocols: Some(protocols),
        };
        pinned(created, &[bytes(1, info_bytes)]);
    }

    #[test]
    fn access() {
        let generate = DriverGenerateBucketAccessIdRequest {
            account_name: "a".into(),
            protocol: Some(s3()),
            authentication_type: Some(by_key()),
            service_account_name: "s".into(),
            parameters: parameters(),
            buckets: vec![accessed()],
        };
        let fields = [bytes(1, "a"), access_fields(), accessed_bytes()];
        pinned(generate, &fields);
        let account_id = "a".into();
        pinned(
            DriverGenerateBucketAccessIdResponse { account_id },
            &[bytes(1, "a")],
        );
        let grant = DriverGrantBucketAccessRequest {
            account_id: "a".into(),
            protocol: Some(s3()),
            authentication_type: Some(by_key()),
            service_account_name: "s".into(),
            parameters: parameters(),
            buckets: vec![accessed()],
        };
        pinned(grant, &fields);
        let (buckets, bucket_bytes) = granted_buckets();
        let granted = DriverGrantBucketAccessResponse {
            buckets,
            credentials: Some(credentials()),
        };
        let credentials = bytes(3, credential_bytes().concat());
        pinned(granted, &[bucket_bytes, credentials]);
    }
}

fn files(descriptors: &[u8]) -> FileDescriptorSet {
    FileDescriptorSet::decode(descriptors).unwrap()
}

/// `package.Service/Method`, in order.
fn methods(descriptors: &[u8]) -> Vec<String> {
    let mut methods = Vec::new();
    for file in &files(descriptors).file {
        for service in &file.service {
            let names = service.method.iter().map(MethodDescriptorProto::name);
            methods.extend(names.map(|it| format!("{}.{}/{it}", file.package(), service.name())));
        }
    }
    methods.sort();
    methods
}

fn expected(package: &str, provisioner: &[&str]) -> Vec<String> {
    let methods = provisioner
        .iter()
        .map(|it| format!("{package}.Provisioner/{it}"));
    let mut methods: Vec<_> = methods.collect();
    methods.push(format!("{package}.Identity/DriverGetInfo"));
    methods.sort();
    methods
}

#[test]
fn methods_have_upstreams_paths() {
    const RELEASED: [&str; 4] = [
        "DriverCreateBucket",
        "DriverDeleteBucket",
        "DriverGrantBucketAccess",
        "DriverRevokeBucketAccess",
    ];
    const PACKAGE: &str = "sigs.k8s.io.cosi.v1alpha2";
    let with = |more: &[&'static str]| expected(PACKAGE, &[&RELEASED, more].concat());
    assert_eq!(
        methods(descriptors::V1ALPHA1),
        expected("cosi.v1alpha1", &RELEASED)
    );
    assert_eq!(methods(descriptors::R1), with(&["DriverGetExistingBucket"]));
    let of_r2 = ["DriverGetBucket", "DriverGenerateBucketId"];
    assert_eq!(methods(descriptors::R2), with(&of_r2));
    let of_r3 = [&of_r2[..], &["DriverGenerateBucketAccessId"]].concat();
    assert_eq!(methods(descriptors::R3), with(&of_r3));
}

/// Names are what tools that ask by reflection show. A map is a message of its own, which is left out.
#[test]
fn fields_of_the_released_version_have_upstreams_names() {
    let files = files(descriptors::V1ALPHA1);
    let messages = files.file.iter().flat_map(|file| &file.message_type);
    let lines = messages.map(|message| {
        let fields = message.field.iter().map(|field| {
            let kind = match field.r#type() {
                Type::String => "string",
                Type::Enum | Type::Message => field.type_name().rsplit('.').next().unwrap(),
                other => panic!("{other:?}"),
            };
            format!(" {} {} {kind}", field.number(), field.name())
        });
        format!("{}:{}", message.name(), fields.collect::<String>())
    });
    let expected = "\
S3: 1 region string 2 signature_version S3SignatureVersion
AzureBlob: 1 storage_account string
GCS: 1 private_key_name string 2 project_id string 3 service_account string
Protocol: 1 s3 S3 2 azureBlob AzureBlob 3 gcs GCS
CredentialDetails: 1 secrets SecretsEntry
DriverGetInfoRequest:
DriverGetInfoResponse: 1 name string
DriverCreateBucketRequest: 1 name string 2 parameters ParametersEntry
DriverCreateBucketResponse: 1 bucket_id string 2 bucket_info Protocol
DriverDeleteBucketRequest: 1 bucket_id string 2 delete_context DeleteContextEntry
DriverDeleteBucketResponse:
DriverGrantBucketAccessRequest: 1 bucket_id string 2 name string 3 authentication_type AuthenticationType 4 parameters ParametersEntry
DriverGrantBucketAccessResponse: 1 account_id string 2 credentials CredentialsEntry
DriverRevokeBucketAccessRequest: 1 bucket_id string 2 account_id string 3 revoke_access_context RevokeAccessContextEntry
DriverRevokeBucketAccessResponse:";
    assert_eq!(lines.collect::<Vec<_>>().join("\n"), expected);
}
