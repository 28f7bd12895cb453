//! The policy language on bytes from anywhere: the one door for fuzzers.
//!
//! Invariants that hold for every input: nothing panics; a policy that is read is printed as one that reads as the same; a policy denies
//! explicitly whenever one of its statements does, and allows only where one of them allows.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    bucket,
    context::{Context, Value},
    document::{Kind, Policy},
    evaluate::{Request, Verdict},
    principal::{Account, Requester},
};

/// What the bytes are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A document, asked about a few fixed requests.
    Document,
    /// A document, and after it, each preceded by a byte 0: an action, a resource, and condition keys and their values in turns.
    Decision,
}

/// Runs one input; says how many times it was taken for a policy.
///
/// # Panics
/// If this crate is wrong.
pub fn run(target: Target, input: &[u8]) -> usize {
    let mut pieces = input.split(|byte| *byte == 0);
    let document = pieces.next().unwrap_or_default();
    let texts: Vec<_> = pieces.map(String::from_utf8_lossy).collect();
    let text = |at: usize| texts.get(at).map_or("", |text| text);
    let (action, resource, mut context) = match target {
        Target::Document => ("s3:GetObject", "arn:aws:s3:::bucket/a/b", context()),
        Target::Decision => (text(0), text(1), Context::new()),
    };
    for pair in texts.get(2..).unwrap_or_default().chunks(2) {
        let values: Vec<_> = pair[1..].iter().flat_map(|v| v.split(',')).collect();
        let values: Vec<_> = values.into_iter().map(Value::from).collect();
        context.set(&*pair[0], values);
    }
    let requests = requesters().map(|requester| Request {
        requester,
        action,
        resource,
        context: &context,
    });
    let kinds = [Kind::Resource, Kind::Identity, Kind::Trust];
    let policies = kinds.map(|kind| Policy::parse(document, kind).ok().map(|p| (p, kind)));
    let good = policies.into_iter().flatten();
    let good = good
        .inspect(|(policy, kind)| check(policy, *kind, &requests))
        .count();
    good + usize::from(is_bucket_policy(document))
}

fn is_bucket_policy(document: &[u8]) -> bool {
    match bucket::parse(document, "bucket", |_| true) {
        Ok(policy) => {
            policy.is_public();
            true
        }
        Err(error) => {
            assert!(!error.message().is_empty());
            false
        }
    }
}

fn check(policy: &Policy, kind: Kind, requests: &[Request<'_>]) {
    let printed = policy.to_string();
    let again = Policy::parse(printed.as_bytes(), kind);
    assert_eq!(again.as_ref(), Ok(policy), "printed as {printed}");
    for request in requests {
        check_decision(policy, request);
    }
}

fn check_decision(policy: &Policy, request: &Request<'_>) {
    let single = |statement: &crate::document::Statement| {
        let statements = Box::new([statement.clone()]);
        let single = Policy {
            statements,
            ..policy.clone()
        };
        single.decide(request).verdict
    };
    let verdicts: Vec<_> = policy.statements.iter().map(single).collect();
    let expected = if verdicts.contains(&Verdict::ExplicitDeny) {
        Verdict::ExplicitDeny
    } else if verdicts.contains(&Verdict::Allow) {
        Verdict::Allow
    } else {
        Verdict::ImplicitDeny
    };
    let decision = policy.decide(request);
    assert_eq!(decision.verdict, expected);
    let deciding = decision
        .statement
        .map(|statement| verdicts[statement.index]);
    assert_eq!(deciding.unwrap_or(Verdict::ImplicitDeny), expected);
}

fn requesters() -> [Requester<'static>; 4] {
    let account = Account {
        id: "111122223333",
        canonical_id: "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be",
    };
    [
        Requester::Anonymous,
        Requester::Root(account),
        Requester::User {
            account,
            arn: "arn:aws:iam::111122223333:user/ann",
        },
        Requester::Session {
            account,
            role: "arn:aws:iam::111122223333:role/r",
            arn: "arn:aws:sts::111122223333:assumed-role/r/s",
        },
    ]
}

fn context() -> Context<'static> {
    let mut context = Context::new();
    context.set("aws:SourceIp", IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)));
    context.set("aws:SecureTransport", false);
    context.set("aws:CurrentTime", Value::Time(1_790_000_000_000));
    context.set("aws:EpochTime", 1_790_000_000);
    context.set("aws:username", "ann");
    context.set("aws:PrincipalArn", "arn:aws:iam::111122223333:user/ann");
    context.set("s3:RequestObjectTagKeys", vec!["a".into(), "b".into()]);
    context
}

#[cfg(test)]
mod tests;
