use proptest::prelude::*;

use super::*;
use crate::checksum::Algorithm;

const NS: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

#[test]
fn reads_a_location_with_or_without_namespace_or_prefix() {
    for text in [
        format!("<?xml version=\"1.0\"?>\n<CreateBucketConfiguration {NS}>\n <LocationConstraint>eu-west-1</LocationConstraint>\n</CreateBucketConfiguration>\n"),
        "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>".to_owned(),
        "\u{feff}<s3:CreateBucketConfiguration xmlns:s3=\"x\"><s3:LocationConstraint>eu-west-1</s3:LocationConstraint></s3:CreateBucketConfiguration>".to_owned(),
        "<CreateBucketConfiguration><Bucket><Type>x</Type></Bucket><LocationConstraint><![CDATA[eu-west-1]]></LocationConstraint></CreateBucketConfiguration>".to_owned(),
    ] {
        let asked = create_bucket_configuration(text.as_bytes()).expect(&text);
        assert_eq!(asked.location.as_deref(), Some("eu-west-1"), "{text}");
        assert_eq!(asked.tags, None, "{text}");
    }
    for nothing in [
        &b" \n"[..],
        b"<CreateBucketConfiguration/>",
        b"<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>",
    ] {
        let asked = create_bucket_configuration(nothing);
        assert_eq!(asked, Ok(CreateBucketRequest::default()));
    }
}

#[test]
fn a_bucket_is_asked_for_with_tags() {
    let body = |tags: &str| {
        format!("<CreateBucketConfiguration {NS}><Tags>{tags}</Tags></CreateBucketConfiguration>")
    };
    let one = body("<Tag><Key>a</Key><Value>b</Value></Tag>");
    let asked = create_bucket_configuration(one.as_bytes()).expect("valid");
    let tags = asked.tags.expect("tags");
    assert_eq!(
        (&*tags.as_slice()[0].key, &*tags.as_slice()[0].value),
        ("a", "b")
    );
    let twice = body(&"<Tag><Key>a</Key><Value>b</Value></Tag>".repeat(2));
    let refused = create_bucket_configuration(twice.as_bytes());
    assert!(matches!(refused, Err(XmlError::Tags(_))), "{refused:?}");
}

#[test]
fn reads_deletes_with_odd_keys_and_conditions() {
    let body = format!(
        "<Delete {NS}><Quiet>true</Quiet><Object><Key>a&amp;b &#x1;&#13;&lt;/</Key></Object>\
         <Object><Key> x </Key><VersionId>null</VersionId><ETag>&quot;abc&quot;</ETag>\
         <LastModifiedTime>Wed</LastModifiedTime><Size>5</Size></Object></Delete>"
    );
    let request = delete(body.as_bytes()).expect("valid");
    assert!(request.quiet);
    assert_eq!(request.objects[0].key, "a&b \u{1}\r</");
    let second = &request.objects[1];
    assert_eq!(
        (&*second.key, second.version_id.as_deref()),
        (" x ", Some("null"))
    );
    assert_eq!(
        (second.etag.as_deref(), second.size),
        (Some("abc"), Some(5))
    );
}

#[test]
fn deletes_have_one_to_a_thousand_keys() {
    let body = |n| {
        format!(
            "<Delete>{}</Delete>",
            "<Object><Key>k</Key></Object>".repeat(n)
        )
    };
    assert_eq!(
        delete(body(1000).as_bytes())
            .expect("a thousand")
            .objects
            .len(),
        1000
    );
    assert!(delete(body(1001).as_bytes()).is_err());
    assert!(delete(body(0).as_bytes()).is_err());
    assert!(delete(b"<Delete><Object></Object></Delete>").is_err());
}

#[test]
fn reads_parts_with_and_without_quotes_and_checksums() {
    let body = "<CompleteMultipartUpload>\
        <Part><PartNumber>1</PartNumber><ETag>\"abc\"</ETag></Part>\
        <Part><ETag>&quot;def&quot;</ETag><PartNumber>7</PartNumber><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32><ChecksumSHA1></ChecksumSHA1></Part>\
        <Part><PartNumber>10000</PartNumber><ETag>ghi</ETag><ChecksumSHA256>nonsense</ChecksumSHA256></Part>\
        </CompleteMultipartUpload>";
    let parts = complete_multipart_upload(body.as_bytes()).expect("valid");
    let seen: Vec<_> = parts.iter().map(|p| (p.number, &*p.etag)).collect();
    assert_eq!(seen, [(1, "abc"), (7, "def"), (10_000, "ghi")]);
    assert_eq!(
        parts[1].checksums,
        [Ok(crate::checksum::checksum(
            Algorithm::Crc32,
            b"123456789"
        ))]
    );
    assert_eq!(parts[2].checksums, [Err(Algorithm::Sha256)]);
}

#[test]
fn wrong_part_lists_have_the_codes_of_aws() {
    let code = |numbers: &[&str]| {
        let part = |n: &&str| format!("<Part><PartNumber>{n}</PartNumber><ETag>e</ETag></Part>");
        let parts: String = numbers.iter().map(part).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        S3Error::from(complete_multipart_upload(body.as_bytes()).expect_err("refused")).code()
    };
    assert_eq!(code(&["2", "1"]), S3Code::InvalidPartOrder);
    assert_eq!(code(&["2", "2"]), S3Code::InvalidPartOrder);
    assert_eq!(code(&["0"]), S3Code::InvalidArgument);
    assert_eq!(code(&["10001"]), S3Code::InvalidArgument);
    assert_eq!(code(&["-1"]), S3Code::InvalidArgument);
    assert_eq!(code(&["x"]), S3Code::MalformedXml);
    assert_eq!(code(&[]), S3Code::MalformedXml);
}

#[test]
fn reads_tags_and_applies_their_rules() {
    let body = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value/></Tag></TagSet></Tagging>";
    assert_eq!(tagging(body.as_bytes()).expect("valid").as_slice().len(), 2);
    assert_eq!(
        tagging(b"<Tagging><TagSet/></Tagging>").expect("none"),
        TagSet::default()
    );
    let code = |body: &str| S3Error::from(tagging(body.as_bytes()).expect_err("refused")).code();
    assert_eq!(code("<Tagging/>"), S3Code::MalformedXml);
    assert_eq!(code(&body.replace(">b<", ">a<")), S3Code::InvalidTag);
    assert_eq!(code(&body.replace("<Value/>", "")), S3Code::MalformedXml);
}

#[test]
fn hostile_documents_are_refused() {
    let wrap = |inner: &str| format!("<Delete><Object><Key>{inner}</Key></Object></Delete>");
    let deep = format!("<Delete>{}{}</Delete>", "<a>".repeat(50), "</a>".repeat(50));
    let documents = [
        "<!DOCTYPE x [<!ENTITY e \"boom\">]>".to_owned() + &wrap("&e;"),
        wrap("&nbsp;"),
        wrap("&#x110000;"),
        wrap("<Nested/>"),
        wrap("k") + "<More/>",
        wrap("k") + "text",
        wrap("k").replace("</Object>", "</Objekt>"),
        "<Delete><Object><Key>k</Key></Object>".to_owned(),
        "</Delete>".to_owned(),
        "<Other/>".to_owned(),
        String::new(),
        deep,
    ];
    for document in documents {
        let error = delete(document.as_bytes()).expect_err(&document);
        assert_eq!(
            S3Error::from(error).code(),
            S3Code::MalformedXml,
            "{document}"
        );
    }
    assert!(delete(b"<Delete>\xff</Delete>").is_err());
    let huge = vec![b' '; MAX_DELETE_BYTES + 1];
    assert!(matches!(delete(&huge), Err(XmlError::TooLarge { .. })));
}

fn all(body: &[u8]) {
    drop(delete(body));
    drop(tagging(body));
    drop(complete_multipart_upload(body));
    drop(create_bucket_configuration(body));
}

proptest! {
    #[test]
    fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        all(&body);
    }

    #[test]
    fn xml_like_garbage_never_panics(pieces in proptest::collection::vec(
        prop::sample::select(vec![
            "<Delete>", "</Delete>", "<Object>", "</Object>", "<Key>", "</Key>", "<Key/>", "k", "&amp;",
            "&#0;", "&x;", "&", "<", ">", "<!--", "-->", "<![CDATA[", "]]>", "<?x ?>", "<Tagging>", "<TagSet>",
            "<Part>", "<CompleteMultipartUpload>", "<!DOCTYPE a>", "\"", "</", "é",
        ]), 0..40)) {
        all(pieces.concat().as_bytes());
    }

    #[test]
    fn any_key_written_as_xml_is_read_back(key in "\\PC{1,40}|[\\x01-\\x1f<>&\"' é]{1,20}") {
        let mut body = String::from("<Delete><Object><Key>");
        crate::xml::write::push_escaped(&mut body, &key);
        body.push_str("</Key></Object></Delete>");
        let request = delete(body.as_bytes()).expect("valid");
        prop_assert_eq!(&request.objects[0].key, &key);
    }
}

#[test]
fn a_nul_is_no_xml_wherever_it_is() {
    let rule = |origin: &str| {
        format!(
            "<CORSConfiguration><CORSRule><AllowedOrigin>{origin}</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
        )
    };
    assert!(cors_configuration(rule("http://a").as_bytes()).is_ok());
    for bad in ["http\0//a", "&#0;", "&#x0;"] {
        assert!(cors_configuration(rule(bad).as_bytes()).is_err(), "{bad:?}");
    }
}
