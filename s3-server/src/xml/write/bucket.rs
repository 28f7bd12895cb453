//! Answers about buckets.

use super::Owner;
use super::writer::Writer;
use crate::cors::{CorsRule, CorsRules};

/// A bucket in `ListBuckets`.
#[derive(Clone, Debug)]
pub struct Bucket<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// Its region, shown where the client paginates or filters.
    pub region: Option<&'a str>,
}

/// `ListAllMyBucketsResult`.
#[derive(Clone, Debug)]
pub struct ListBuckets<'a> {
    /// Who owns them.
    pub owner: &'a Owner,
    /// The buckets, by name.
    pub buckets: &'a [Bucket<'a>],
    /// Where the next page starts.
    pub continuation_token: Option<&'a str>,
    /// The prefix that was asked for.
    pub prefix: Option<&'a str>,
}

impl ListBuckets<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::new("ListAllMyBucketsResult", 256 + self.buckets.len() * 128);
        w.owner("Owner", Some(self.owner));
        w.nested("Buckets", |w| {
            for bucket in self.buckets {
                w.nested("Bucket", |w| {
                    w.text("Name", bucket.name);
                    w.time("CreationDate", bucket.created_ms);
                    w.text_if("BucketRegion", bucket.region);
                });
            }
        });
        w.text_if("ContinuationToken", self.continuation_token);
        w.text_if("Prefix", self.prefix);
        w.finish()
    }
}

/// `VersioningConfiguration`; without a status where versioning was never enabled.
pub fn versioning_configuration(status: Option<&str>) -> String {
    let mut w = Writer::new("VersioningConfiguration", 128);
    w.text_if("Status", status);
    w.finish()
}

/// `LocationConstraint`; empty for `us-east-1`, as AWS has it.
pub fn location_constraint(region: &str) -> String {
    let region = if region == "us-east-1" { "" } else { region };
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str("<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    super::push_escaped(&mut out, region);
    out.push_str("</LocationConstraint>");
    out
}

/// `CORSConfiguration`.
pub fn cors_configuration(rules: &CorsRules) -> String {
    let mut w = Writer::new("CORSConfiguration", 256);
    for rule in &rules.0 {
        w.nested("CORSRule", |w| cors_rule(w, rule));
    }
    w.finish()
}

fn cors_rule(w: &mut Writer, rule: &CorsRule) {
    w.text_if("ID", rule.id.as_deref());
    let lists = [
        ("AllowedHeader", &rule.headers),
        ("AllowedMethod", &rule.methods),
        ("AllowedOrigin", &rule.origins),
        ("ExposeHeader", &rule.exposed),
    ];
    for (name, texts) in lists {
        for text in texts {
            w.text(name, text);
        }
    }
    if let Some(seconds) = rule.max_age_seconds {
        w.value("MaxAgeSeconds", seconds);
    }
}
