use super::*;
use crate::{document::Kind, principal::Account};

const ANN: Requester<'_> = Requester::Root(Account {
    id: "111122223333",
    canonical_id: "a",
});
const BOB: Requester<'_> = Requester::User {
    account: Account {
        id: "444455556666",
        canonical_id: "b",
    },
    arn: "arn:aws:iam::444455556666:user/bob",
};

fn policy(statements: &str) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Policy::parse(text.as_bytes(), Kind::Resource).expect("a policy")
}

fn decide<'p>(
    policy: &'p Policy,
    requester: Requester<'_>,
    action: &str,
    key: &str,
) -> Decision<'p> {
    let mut context = Context::new();
    context.set("aws:userid", "u1");
    policy.decide(&Request {
        requester,
        action,
        resource: &format!("arn:aws:s3:::b/{key}"),
        context: &context,
    })
}

#[test]
fn what_nobody_allows_is_denied_and_a_denial_wins_wherever_it_stands() {
    let allow = r#"{"Sid":"a","Effect":"Allow","Principal":"*","Action":"s3:Get*","Resource":"arn:aws:s3:::b/*"}"#;
    let deny = r#"{"Sid":"d","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/secret/*"}"#;
    for (text, index) in [
        (format!("{allow},{deny}"), 1),
        (format!("{deny},{allow}"), 0),
    ] {
        let policy = policy(&text);
        let decide = |action, key| decide(&policy, ANN, action, key);
        assert_eq!(decide("s3:PutObject", "k"), Decision::NONE);
        let allowed = decide("S3:getobject", "k");
        assert_eq!(allowed.verdict, Verdict::Allow);
        assert_eq!(allowed.via, Some(Via::Everyone));
        assert_eq!(allowed.statement.expect("a statement").sid, Some("a"));
        let denied = decide("s3:GetObject", "secret/k");
        assert_eq!(denied.verdict, Verdict::ExplicitDeny);
        assert_eq!(
            denied.statement,
            Some(StatementRef {
                policy: None,
                index,
                sid: Some("d")
            })
        );
    }
}

#[test]
fn the_most_exact_naming_counts() {
    let statement = |principal: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"*","Resource":"*"}}"#
        )
    };
    let texts = ["444455556666", "*", "arn:aws:iam::444455556666:user/bob"].map(statement);
    let via = |statements: &str| decide(&policy(statements), BOB, "s3:GetObject", "k").via;
    assert_eq!(via(&texts[0]), Some(Via::Account));
    assert_eq!(via(&texts[..2].join(",")), Some(Via::Everyone));
    assert_eq!(via(&texts.join(",")), Some(Via::Itself));
    let backwards: Vec<_> = texts.iter().rev().cloned().collect();
    assert_eq!(via(&backwards.join(",")), Some(Via::Itself));
}

#[test]
fn contraries_mean_all_others() {
    let not_action =
        policy(r#"{"Effect":"Allow","Principal":"*","NotAction":"s3:Delete*","Resource":"*"}"#);
    assert!(decide(&not_action, ANN, "s3:GetObject", "k").is_allowed());
    assert!(!decide(&not_action, ANN, "s3:DeleteObject", "k").is_allowed());
    let not_resource = policy(
        r#"{"Effect":"Allow","Principal":"*","Action":"*","NotResource":["arn:aws:s3:::b/x/*","arn:aws:s3:::b/${aws:nobody}"]}"#,
    );
    assert!(decide(&not_resource, ANN, "s3:GetObject", "k").is_allowed());
    assert!(!decide(&not_resource, ANN, "s3:GetObject", "x/k").is_allowed());
}

#[test]
fn those_who_are_excepted_are_so_by_their_own_name() {
    let except = |principals: &str| {
        policy(&format!(
            r#"{{"Effect":"Deny","NotPrincipal":{{"AWS":{principals}}},"Action":"*","Resource":"*"}}"#
        ))
    };
    let denies = |policy: &Policy, who| {
        decide(policy, who, "s3:GetObject", "k").verdict == Verdict::ExplicitDeny
    };
    let root = except(r#""444455556666""#);
    assert!(denies(&root, ANN) && denies(&root, BOB) && denies(&root, Requester::Anonymous));
    let user = except(r#"["arn:aws:iam::444455556666:user/bob","111122223333"]"#);
    assert!(!denies(&user, BOB) && !denies(&user, ANN) && denies(&user, Requester::Anonymous));
}

#[test]
fn variables_are_those_of_the_request_and_of_the_new_version_only() {
    let statement = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::b/${aws:userid}/*"}"#;
    assert!(decide(&policy(statement), ANN, "s3:GetObject", "u1/k").is_allowed());
    assert!(!decide(&policy(statement), ANN, "s3:GetObject", "u2/k").is_allowed());
    let old = format!(r#"{{"Version":"2008-10-17","Statement":[{statement}]}}"#);
    let old = Policy::parse(old.as_bytes(), Kind::Resource).expect("a policy");
    assert!(!decide(&old, ANN, "s3:GetObject", "u1/k").is_allowed());
    assert!(decide(&old, ANN, "s3:GetObject", "${aws:userid}/k").is_allowed());
}

#[test]
fn a_policy_says_which_keys_it_looks_at() {
    let policy = policy(
        r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::b/${aws:userid}",
            "Condition":{"StringLike":{"s3:ExistingObjectTag/a":"${aws:UserName}"}}}"#,
    );
    for key in [
        "aws:userid",
        "aws:username",
        "S3:existingobjecttag/",
        "s3:ExistingObjectTag/A",
    ] {
        assert!(policy.looks_at(key), "{key}");
    }
    for key in [
        "aws:user",
        "s3:ExistingObjectTag",
        "s3:ExistingObjectTag/b",
        "s3:RequestObjectTag/",
    ] {
        assert!(!policy.looks_at(key), "{key}");
    }
}
