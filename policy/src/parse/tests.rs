use super::*;

fn parse(text: &str, kind: Kind) -> Result<Policy> {
    policy(text.as_bytes(), kind)
}

/// A bucket's policy with one statement, of which `change` has replaced `what`.
fn changed(what: &str, change: &str) -> Result<Policy> {
    let text = r#"{"Version":"2012-10-17","Id":"i","Statement":[{"Sid":"s","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}"#;
    assert!(text.contains(what), "{what}");
    parse(&text.replace(what, change), Kind::Resource)
}

#[test]
fn elements_may_be_single_or_in_lists() {
    let single = changed("", "").expect("a policy");
    assert_eq!(single.version(), Version::V2012);
    assert_eq!(single.id(), Some("i"));
    for (what, change) in [
        (r#""s3:GetObject""#, r#"["s3:GetObject"]"#),
        (r#""arn:aws:s3:::b/*""#, r#"["arn:aws:s3:::b/*"]"#),
        (r#""*""#, r#"{"AWS":"*"}"#),
        (r#""*""#, r#"{"AWS":["*"]}"#),
        (
            "}]",
            "},{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"}]",
        ),
    ] {
        assert!(changed(what, change).is_ok(), "{change}");
    }
    assert_eq!(
        changed("[{", "{").and_then(|_| changed("}]}", "}}")),
        Err(PolicyError::NoJson)
    );
    let object = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let policy = parse(object, Kind::Identity).expect("a policy");
    assert_eq!(policy.version(), Version::V2008);
    assert_eq!(policy.statements.len(), 1);
}

#[test]
fn what_is_missing_is_named() {
    for (what, error) in [
        (r#""Effect":"Allow","#, PolicyError::MissingField("Effect")),
        (
            r#""Principal":"*","#,
            PolicyError::MissingField("Principal"),
        ),
        (
            r#""Action":"s3:GetObject","#,
            PolicyError::MissingField("Action"),
        ),
        (
            r#","Resource":"arn:aws:s3:::b/*""#,
            PolicyError::MissingField("Resource"),
        ),
    ] {
        assert_eq!(changed(what, ""), Err(error), "{what}");
    }
    for (text, error) in [
        ("{}", PolicyError::MissingField("Statement")),
        (r#"{"Statement":[]}"#, PolicyError::NoStatement),
        (r#"{"Statement":"x"}"#, PolicyError::Syntax),
        (r#"{"Statement":[[]]}"#, PolicyError::Syntax),
    ] {
        assert_eq!(parse(text, Kind::Resource), Err(error), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let text = |text: &str| text.to_owned();
    for (what, change, error) in [
        ("2012-10-17", "2012-10-18", PolicyError::Version),
        ("Allow", "allow", PolicyError::Effect(text("allow"))),
        ("Effect", "Efect", PolicyError::MissingField("Effect")),
        (
            r#""Sid":"s""#,
            r#""Sit":"s""#,
            PolicyError::UnknownField(text("Sit")),
        ),
        (
            r#""Id":"i""#,
            r#""Comment":"i""#,
            PolicyError::UnknownField(text("Comment")),
        ),
        (r#""Id":"i""#, r#""Id":1"#, PolicyError::Syntax),
        (r#""Id":"i""#, r#""Id":"i","Id":"i""#, PolicyError::Syntax),
        (r#""Sid":"s""#, r#""Effect":"Deny""#, PolicyError::Syntax),
        (r#""Sid":"s""#, r#""NotAction":"s3:*""#, PolicyError::Syntax),
        (r#""Sid":"s""#, r#""NotPrincipal":"*""#, PolicyError::Syntax),
        (r#""Sid":"s""#, r#""NotResource":"*""#, PolicyError::Syntax),
        (
            r#""Principal":"*""#,
            r#""Principal":{}"#,
            PolicyError::EmptyField("Principal"),
        ),
        (
            r#""Principal":"*""#,
            r#""Principal":"x""#,
            PolicyError::Principal(text("\"x\"")),
        ),
        (
            r#""Principal":"*""#,
            r#""Principal":{"AWS":"x"}"#,
            PolicyError::Principal(text("\"AWS\" : \"x\"")),
        ),
        (
            r#""Principal":"*""#,
            r#""Principal":{"AWS":1}"#,
            PolicyError::Syntax,
        ),
        (r#""s3:GetObject""#, "[]", PolicyError::EmptyField("Action")),
        (
            "s3:GetObject",
            "GetObject",
            PolicyError::Action(text("GetObject")),
        ),
        ("s3:GetObject", "s3:", PolicyError::Action(text("s3:"))),
        (
            "s3:GetObject",
            "s3:Get:Object",
            PolicyError::Action(text("s3:Get:Object")),
        ),
        (
            "s3:GetObject",
            "s3:Get Object",
            PolicyError::Action(text("s3:Get Object")),
        ),
        (
            r#""arn:aws:s3:::b/*""#,
            "[]",
            PolicyError::EmptyField("Resource"),
        ),
        (
            "arn:aws:s3:::b/*",
            "b/*",
            PolicyError::Resource(text("b/*")),
        ),
        (
            "arn:aws:s3:::b/*",
            "arn:aws:s3:b",
            PolicyError::Resource(text("arn:aws:s3:b")),
        ),
        (
            "b/*",
            "b/${x",
            PolicyError::Variable(text("arn:aws:s3:::b/${x")),
        ),
    ] {
        assert_eq!(changed(what, change), Err(error), "{change}");
    }
}

#[test]
fn conditions_are_checked() {
    let conditioned = |condition: &str| {
        let text = format!("\"Condition\":{condition},\"Sid\":\"s\"");
        changed("\"Sid\":\"s\"", &text)
    };
    for good in [
        "{}",
        r#"{"Bool":{"aws:SecureTransport":false}}"#,
        r#"{"NumericLessThan":{"s3:max-keys":10}}"#,
        r#"{"StringEquals":{"s3:ExistingObjectTag/a b":["x","y"]},"Bool":{"aws:SecureTransport":["true"]}}"#,
    ] {
        assert!(conditioned(good).is_ok(), "{good}");
    }
    let text = |text: &str| text.to_owned();
    for (bad, error) in [
        ("[]", PolicyError::Syntax),
        (r#"{"Bool":true}"#, PolicyError::Syntax),
        (
            r#"{"Bool":{"aws:SecureTransport":{}}}"#,
            PolicyError::Syntax,
        ),
        (
            r#"{"Bool":{"aws:SecureTransport":[null]}}"#,
            PolicyError::Syntax,
        ),
        (
            r#"{"Bools":{"aws:SecureTransport":true}}"#,
            PolicyError::Operator(text("Bools")),
        ),
        (
            r#"{"Bool":{"SecureTransport":true}}"#,
            PolicyError::ConditionKey(text("SecureTransport")),
        ),
    ] {
        assert_eq!(conditioned(bad), Err(error), "{bad}");
    }
}

#[test]
fn names_of_statements_are_unique() {
    let two = |a: &str, b: &str, kind| {
        let statement =
            |sid| format!(r#"{{"Sid":"{sid}","Effect":"Allow","Action":"*","Resource":"*"}}"#);
        let text = format!(r#"{{"Statement":[{},{}]}}"#, statement(a), statement(b));
        parse(&text, kind)
    };
    assert!(two("a", "b", Kind::Identity).is_ok());
    assert!(two("", "", Kind::Identity).is_ok());
    assert_eq!(
        two("a", "a", Kind::Identity),
        Err(PolicyError::DuplicateSid("a".to_owned()))
    );
    assert_eq!(
        two("a", "b c", Kind::Identity),
        Err(PolicyError::Sid("b c".to_owned()))
    );
    assert!(changed(r#""Sid":"s""#, r#""Sid":"with spaces""#).is_ok());
}

#[test]
fn each_kind_has_its_elements() {
    let with = |elements: &str, kind| {
        parse(
            &format!(r#"{{"Statement":{{"Effect":"Allow","Action":"sts:AssumeRole"{elements}}}}}"#),
            kind,
        )
    };
    let (principal, resource) = (
        r#","Principal":{"AWS":"111122223333"}"#,
        r#","Resource":"*""#,
    );
    let both = format!("{principal}{resource}");
    let unknown = |name: &str| Err(PolicyError::UnknownField(name.to_owned()));
    assert!(with(principal, Kind::Trust).is_ok());
    assert!(with(resource, Kind::Identity).is_ok());
    assert!(with(&both, Kind::Resource).is_ok());
    assert_eq!(with(&both, Kind::Trust), unknown("Resource"));
    assert_eq!(with(&both, Kind::Identity), unknown("Principal"));
    assert_eq!(
        with(resource, Kind::Trust),
        Err(PolicyError::MissingField("Principal"))
    );
}
