use super::*;

fn with(action: &str, resource: &str, condition: &str) -> Result<Policy, PolicyError> {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"111122223333"}},"Action":{action},"Resource":{resource},"Condition":{condition}}}]}}"#
    );
    parse(text.as_bytes(), "bucket", |_| true)
}

fn message(result: Result<Policy, PolicyError>) -> String {
    result.map_or_else(|error| error.message(), |_| "good".to_owned())
}

const OBJECTS: &str = r#""arn:aws:s3:::bucket/*""#;
const BUCKET: &str = r#""arn:aws:s3:::bucket""#;
const BOTH: &str = r#"["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]"#;

#[test]
fn resources_are_of_the_bucket() {
    for resource in [
        OBJECTS,
        BUCKET,
        BOTH,
        r#""arn:aws:s3:::bucket*""#,
        r#""arn:aws:s3:::bucket/a${aws:userid}""#,
    ] {
        assert_eq!(
            message(with(r#""s3:*""#, resource, "{}")),
            "good",
            "{resource}"
        );
    }
    for resource in [
        r#""*""#,
        r#""arn:aws:s3:::*""#,
        r#""arn:aws:s3:::other/*""#,
        r#""arn:aws:s3:::bucket2""#,
        r#""arn:aws:s3:::buck*""#,
        r#""arn:aws:s3:::bucket*/x""#,
        r#""arn:aws:s3:us-east-1::bucket""#,
        r#""arn:aws:sns:::bucket""#,
        r#""bucket/*""#,
        r#"["arn:aws:s3:::bucket","arn:aws:s3:::other"]"#,
    ] {
        let error = with(r#""s3:*""#, resource, "{}");
        assert_eq!(message(error), "Policy has invalid resource", "{resource}");
    }
}

#[test]
fn actions_are_of_s3_and_have_a_resource() {
    for (action, resource, expected) in [
        (r#""s3:GetObject""#, OBJECTS, "good"),
        (r#""S3:getobject""#, OBJECTS, "good"),
        (r#""*""#, OBJECTS, "good"),
        (r#"["s3:GetObject","s3:ListBucket"]"#, BOTH, "good"),
        (r#""s3:Get*""#, BUCKET, "good"),
        (
            r#""s3:GetObject""#,
            BUCKET,
            "Action does not apply to any resource(s) in statement",
        ),
        (
            r#""s3:ListBucket""#,
            OBJECTS,
            "Action does not apply to any resource(s) in statement",
        ),
        (
            r#"["s3:GetObject","s3:ListBucket"]"#,
            OBJECTS,
            "Action does not apply to any resource(s) in statement",
        ),
        (
            r#""s3:ListAllMyBuckets""#,
            BOTH,
            "Action does not apply to any resource(s) in statement",
        ),
        (r#""s3:ListObjects""#, BOTH, "Policy has invalid action"),
        (r#""s3:Foo*""#, BOTH, "Policy has invalid action"),
        (r#""sqs:SendMessage""#, BOTH, "Policy has invalid action"),
        (r#""GetObject""#, BOTH, "Policy has invalid action"),
    ] {
        assert_eq!(
            message(with(action, resource, "{}")),
            expected,
            "{action} {resource}"
        );
    }
}

#[test]
fn condition_keys_are_those_of_the_actions() {
    let fails = "Conditions do not apply to combination of actions and resources in statement";
    let prefix = r#"{"StringLike":{"s3:prefix":"a/*"}}"#;
    for (action, resource, condition, expected) in [
        (r#""s3:ListBucket""#, BUCKET, prefix, "good"),
        (r#""s3:*""#, BOTH, prefix, "good"),
        (r#""s3:*""#, OBJECTS, prefix, fails),
        (r#""s3:GetObject""#, OBJECTS, prefix, fails),
        (r#"["s3:GetObject","s3:ListBucket"]"#, BOTH, prefix, fails),
        (
            r#""s3:GetObject""#,
            OBJECTS,
            r#"{"StringEquals":{"s3:ExistingObjectTag/a":"b"}}"#,
            "good",
        ),
        (
            r#""s3:GetObject""#,
            OBJECTS,
            r#"{"StringEquals":{"aws:UserAgent":"b"}}"#,
            "good",
        ),
        (
            r#""s3:GetObject""#,
            OBJECTS,
            r#"{"NumericLessThan":{"s3:TlsVersion":"1.2"}}"#,
            "good",
        ),
        (
            r#""s3:GetObject""#,
            OBJECTS,
            r#"{"StringEquals":{"s3:nothing":"b"}}"#,
            "Policy has an invalid condition key",
        ),
        (
            r#""s3:GetObject""#,
            OBJECTS,
            r#"{"StringEquals":{"my:key":"b"}}"#,
            "Policy has an invalid condition key",
        ),
        (
            r#""s3:GetObject""#,
            OBJECTS,
            r#"{"StringEqual":{"aws:UserAgent":"b"}}"#,
            "Invalid Condition type : StringEqual",
        ),
    ] {
        assert_eq!(
            message(with(action, resource, condition)),
            expected,
            "{action} {condition}"
        );
    }
}

#[test]
fn principals_are_known_and_policies_not_too_long() {
    let text = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":["*","111122223333"]},"Action":"*","Resource":"arn:aws:s3:::bucket"}}"#;
    let only = |principal: &NamedPrincipal| *principal == NamedPrincipal::Everyone;
    let error = parse(text.as_bytes(), "bucket", only).expect_err("nobody");
    assert_eq!(error.message(), "Invalid principal in policy");
    assert_eq!(error.detail(), Some("\"AWS\" : \"111122223333\""));
    let long = |bytes: usize| format!("{}{}", text, " ".repeat(bytes - text.len()));
    assert!(parse(long(MAX_BYTES).as_bytes(), "bucket", |_| true).is_ok());
    let error = parse(long(MAX_BYTES + 1).as_bytes(), "bucket", |_| true).expect_err("too long");
    let (got_bytes, max_bytes) = (20_481, 20_480);
    assert_eq!(
        error,
        PolicyError::TooLarge {
            got_bytes,
            max_bytes
        }
    );
}

#[test]
fn all_resources_but_some_are_objects_and_the_bucket() {
    let text = |actions: &str| {
        format!(
            r#"{{"Statement":{{"Effect":"Deny","Principal":"*","Action":{actions},"NotResource":"arn:aws:s3:::bucket/a/*"}}}}"#
        )
    };
    for actions in [r#""s3:GetObject""#, r#""s3:ListBucket""#] {
        assert!(
            parse(text(actions).as_bytes(), "bucket", |_| true).is_ok(),
            "{actions}"
        );
    }
}
