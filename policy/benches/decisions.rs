//! What a decision costs: `cargo bench -p larder-policy`. A policy is read once, so that only decisions are on a request's way.

#![allow(
    missing_docs,
    reason = "criterion's macro makes a public function without any"
)]

use std::{hint::black_box, net::IpAddr};

use criterion::{Criterion, criterion_group};
use larder_policy::{Account, Context, Request, Requester, Value, bucket};

const SMALL: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Sid":"OnlyTls","Effect":"Deny","Principal":"*","Action":"s3:*",
     "Resource":["arn:aws:s3:::backups","arn:aws:s3:::backups/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}},
    {"Sid":"Writer","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},
     "Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::backups/*",
     "Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}}}]}"#;

const HOME: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:*Object",
     "Resource":"arn:aws:s3:::backups/home/${aws:userid}/*"}]}"#;

const ACCOUNT: Account<'_> = Account {
    id: "111122223333",
    canonical_id: "",
};

/// About as many keys as a PUT has.
fn context() -> Context<'static> {
    let mut context = Context::new();
    let address: IpAddr = "10.1.2.3".parse().expect("an address");
    context.set("aws:SourceIp", address);
    context.set("aws:SecureTransport", true);
    context.set("aws:CurrentTime", Value::Time(1_790_000_000_000));
    context.set("aws:EpochTime", 1_790_000_000);
    context.set("aws:UserAgent", "Boto3/1.44");
    context.set("aws:PrincipalType", "Account");
    context.set("aws:PrincipalAccount", ACCOUNT.id);
    context.set("aws:PrincipalArn", "arn:aws:iam::111122223333:root");
    context.set("aws:userid", ACCOUNT.id);
    context.set("s3:authType", "REST-HEADER");
    context.set("s3:signatureversion", "AWS4-HMAC-SHA256");
    context.set("s3:signatureAge", 12);
    context.set("s3:x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    context.set("s3:ResourceAccount", ACCOUNT.id);
    context
}

fn decisions(criterion: &mut Criterion) {
    let context = context();
    let request = Request {
        requester: Requester::Root(ACCOUNT),
        action: "s3:PutObject",
        resource: "arn:aws:s3:::backups/home/111122223333/2026/11/29/base.tar",
        context: &context,
    };
    let mut group = criterion.benchmark_group("decide");
    for (name, text) in [
        ("two statements", SMALL),
        ("a variable", HOME),
        ("20 KB", &long()),
    ] {
        let policy = bucket::parse(text.as_bytes(), "backups", |_| true).expect("a policy");
        assert!(policy.decide(&request).is_allowed(), "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| policy.decide(black_box(&request)).is_allowed());
        });
    }
    group.finish();
    criterion.bench_function("fill a context", |bencher| bencher.iter(self::context));
    criterion.bench_function("parse two statements", |bencher| {
        bencher.iter(|| bucket::parse(black_box(SMALL.as_bytes()), "backups", |_| true));
    });
}

/// As many statements as fit, the last of which allows it.
fn long() -> String {
    let statement = |prefix: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":"111122223333"}},"Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::backups/{prefix}*"}}"#
        )
    };
    let mut statements: Vec<_> = (0..130).map(|n| statement(&format!("{n}/"))).collect();
    statements.push(statement(""));
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{}]}}"#,
        statements.join(",")
    )
}

criterion_group!(benches, decisions);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
