//! Documents of policies, as IAM takes and gives them.

use larder_policy::{Kind, Policy, PolicyError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    document::{Node, text},
    error::{IamCode, IamError, IamResult},
};

/// What RFC 3986 leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A policy of users, groups, roles and sessions.
///
/// # Errors
/// [`IamCode::MalformedPolicyDocument`].
pub(super) fn check_identity(document: &str) -> IamResult<Policy> {
    Policy::parse(document.as_bytes(), Kind::Identity).map_err(|error| malformed(&error))
}

/// A policy that says who may take on a role.
///
/// # Errors
/// [`IamCode::MalformedPolicyDocument`].
pub(super) fn check_trust(document: &str) -> IamResult<Policy> {
    Policy::parse(document.as_bytes(), Kind::Trust).map_err(|error| match error {
        PolicyError::UnknownField(name) if name.ends_with("Resource") => IamError::new(
            IamCode::MalformedPolicyDocument,
            "Has prohibited field Resource",
        ),
        error => malformed(&error),
    })
}

/// How much of a limit a document takes: white space does not count.
pub(super) fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

/// A document in an answer: URL-encoded.
pub(super) fn node(name: &'static str, document: &str) -> Node {
    text(name, utf8_percent_encode(document, UNRESERVED).to_string())
}

/// In IAM's words.
fn malformed(error: &PolicyError) -> IamError {
    let message = match error {
        PolicyError::UnknownField(name) if name.ends_with("Principal") => {
            "Policy document should not specify a principal.".to_owned()
        }
        PolicyError::NoObject
        | PolicyError::NoJson
        | PolicyError::Syntax
        | PolicyError::Version
        | PolicyError::Effect(_)
        | PolicyError::NoStatement
        | PolicyError::UnknownField(_)
        | PolicyError::MissingField("Statement") => "Syntax errors in policy.".to_owned(),
        PolicyError::MissingField("Action") | PolicyError::EmptyField("Action") => {
            "Policy statement must contain actions.".to_owned()
        }
        PolicyError::MissingField("Resource") | PolicyError::EmptyField("Resource") => {
            "Policy statement must contain resources.".to_owned()
        }
        PolicyError::Action(_) => {
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.".to_owned()
        }
        PolicyError::Resource(resource) => {
            format!("Resource {resource} must be in ARN format or \"*\".")
        }
        error => error.message(),
    };
    IamError::new(IamCode::MalformedPolicyDocument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(document: &str) -> String {
        check_identity(document).unwrap_err().message().to_owned()
    }

    #[test]
    fn refusals_are_in_the_words_of_iam() {
        assert_eq!(message("{"), "Syntax errors in policy.");
        assert_eq!(
            message(r#"{"Version":"2012-10-17"}"#),
            "Syntax errors in policy."
        );
        let statement = |text: &str| {
            format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{text}}}]}}"#)
        };
        assert!(message(&statement(r#""Action":"s3:*""#)).contains("resources"));
        assert!(message(&statement(r#""Resource":"*""#)).contains("actions"));
        assert!(message(&statement(r#""Action":"s3","Resource":"*""#)).contains("vendor"));
        assert!(
            message(&statement(r#""Action":"s3:*","Resource":"bucket""#)).contains("ARN format")
        );
        assert!(
            message(&statement(
                r#""Action":"s3:*","Resource":"*","Principal":"*""#
            ))
            .contains("principal")
        );
        assert!(check_identity(&statement(r#""Action":"s3:*","Resource":"*""#)).is_ok());
    }

    #[test]
    fn trust_policies_have_principals_and_no_resource() {
        let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}}"#;
        assert!(check_trust(trust).is_ok());
        let with = trust.replace("\"Action\"", "\"Resource\":\"*\",\"Action\"");
        assert_eq!(
            check_trust(&with).unwrap_err().message(),
            "Has prohibited field Resource"
        );
    }

    #[test]
    fn white_space_is_free() {
        assert_eq!(size(" { \n\t\"a\" : 1 } "), 7);
    }
}
