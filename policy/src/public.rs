//! Whether a bucket policy is public, as S3's Block Public Access has it.
//!
//! A policy is public unless each of its `Allow` statements is for fixed principals, or has a condition that only those fulfil who have
//! one of a few fixed values of a key that tells who they are or whence they come. Denials make nothing less public.

use crate::{
    condition::Condition,
    document::{Effect, Policy, Statement},
    principal::NamedPrincipal,
};

/// Condition keys whose fixed values are those of a known few.
const FIXED_KEYS: [&str; 12] = [
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalOrgID",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIp",
    "aws:SourceOwner",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:userid",
    "s3:DataAccessPointAccount",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
];
/// The name of an access point may have wildcards, its account not.
const ACCESS_POINT: &str = "s3:DataAccessPointArn";

impl Policy {
    /// Whether it lets anybody in.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        let is_for_all = self.principals.as_ref().is_some_and(|principals| {
            principals.except || principals.listed.contains(&NamedPrincipal::Everyone)
        });
        self.effect == Effect::Allow && is_for_all && !self.conditions.iter().any(singles_out)
    }
}

fn singles_out(condition: &Condition) -> bool {
    let key = condition.key();
    if key.eq_ignore_ascii_case(ACCESS_POINT) {
        return condition.has_fixed_accounts();
    }
    // An id of a role's sessions is the role's, a colon, and what whoever takes it on calls the session.
    FIXED_KEYS
        .iter()
        .any(|fixed| fixed.eq_ignore_ascii_case(key))
        && condition.is_fixed()
}

#[cfg(test)]
mod tests {
    use crate::document::{Kind, Policy};

    fn is_public(principal: &str, condition: &str) -> bool {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},
                "Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{condition}}},
                {{"Effect":"Deny","Principal":"*","Action":"*","Resource":"arn:aws:s3:::b/*"}}]}}"#
        );
        let policy = Policy::parse(text.as_bytes(), Kind::Resource);
        policy.expect("a policy").is_public()
    }

    #[test]
    fn fixed_principals_are_not_public() {
        assert!(!is_public(r#"{"AWS":"111122223333"}"#, "{}"));
        assert!(!is_public(
            r#"{"Service":"logging.s3.amazonaws.com"}"#,
            "{}"
        ));
        assert!(is_public(r#""*""#, "{}"));
        assert!(is_public(r#"{"AWS":["111122223333","*"]}"#, "{}"));
    }

    #[test]
    fn fixed_values_single_out() {
        for (condition, expected) in [
            (r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#, false),
            (
                r#"{"IpAddress":{"AWS:sourceip":["203.0.113.0/24","2001:db8::/32"]}}"#,
                false,
            ),
            (
                r#"{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","0.0.0.0/0"]}}"#,
                true,
            ),
            (r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}"#, true),
            (
                r#"{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#,
                true,
            ),
            (
                r#"{"IpAddressIfExists":{"aws:SourceIp":"203.0.113.0/24"}}"#,
                true,
            ),
            (
                r#"{"ForAllValues:IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#,
                true,
            ),
            (
                r#"{"StringEquals":{"aws:SourceVpc":"vpc-91237329"}}"#,
                false,
            ),
            (r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#, true),
            (
                r#"{"StringNotEquals":{"aws:SourceVpc":"vpc-91237329"}}"#,
                true,
            ),
            (
                r#"{"StringEquals":{"aws:SourceVpc":"${aws:username}"}}"#,
                true,
            ),
            (r#"{"StringEquals":{"aws:Referer":"http://x"}}"#, true),
            (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, true),
            (
                r#"{"ArnLike":{"aws:SourceArn":"arn:aws:sns:us-east-1:111122223333:t"}}"#,
                false,
            ),
            (
                r#"{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:111122223333:t"}}"#,
                true,
            ),
            (r#"{"Null":{"aws:SourceVpc":"false"}}"#, true),
            (
                r#"{"ArnLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-east-1:111122223333:accesspoint/*"}}"#,
                false,
            ),
            (
                r#"{"StringLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-east-1:*:accesspoint/*"}}"#,
                true,
            ),
        ] {
            assert_eq!(is_public(r#""*""#, condition), expected, "{condition}");
        }
    }
}
