//! What an error of the server means.

use http::StatusCode;

use super::xml::Element;
use crate::backend::BackendError;

/// Codes that say that the key itself does not count, or was used wrongly.
const OF_KEY: [&str; 6] = [
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "IncompleteSignature",
];

/// Whether another key might be let in.
pub(super) fn is_of_key(code: &str) -> bool {
    OF_KEY.contains(&code)
}

/// What an answer that is no success means to who asked about `subject`, a bucket or an account.
pub(super) fn of(status: StatusCode, body: &[u8], subject: &str) -> BackendError {
    let Some((code, message)) = read(body) else {
        return without_code(status);
    };
    let message = message.trim_end_matches('.').to_owned();
    match code.as_str() {
        "NoSuchBucket" => BackendError::NoSuchBucket(subject.to_owned()),
        "BucketAlreadyExists" => BackendError::BucketAlreadyExists(subject.to_owned()),
        "BucketNotEmpty" => BackendError::BucketNotEmpty(subject.to_owned()),
        "NoSuchEntity" => BackendError::NoSuchEntity(message),
        "EntityAlreadyExists" => BackendError::EntityAlreadyExists(message),
        "DeleteConflict" => BackendError::DeleteConflict(message),
        "LimitExceeded" => BackendError::LimitExceeded(message),
        "SlowDown"
        | "Throttling"
        | "ServiceUnavailable"
        | "InternalError"
        | "ServiceFailure"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "ConcurrentModification"
        | "RequestTimeout" => unavailable(&code, &message),
        _ if status.is_server_error() => unavailable(&code, &message),
        _ if status == StatusCode::FORBIDDEN || is_of_key(&code) => denied(code, &message),
        _ => BackendError::Refused { code, message },
    }
}

/// The code and message of an error of S3, IAM, or Larder's admin API.
fn read(body: &[u8]) -> Option<(String, String)> {
    if body.starts_with(b"{") {
        let parsed: serde_json::Value = serde_json::from_slice(body).ok()?;
        let error = parsed.get("error")?;
        let text = |name: &str| Some(error.get(name)?.as_str()?.to_owned());
        return Some((text("code")?, text("message")?));
    }
    let root = Element::parse(body)?;
    let error = root.at("Error").unwrap_or(&root);
    let code = error.get("Code");
    (!code.is_empty()).then(|| (code.to_owned(), error.get("Message").to_owned()))
}

fn without_code(status: StatusCode) -> BackendError {
    let message = format!("the server answers {status} without saying why");
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return BackendError::Unavailable(message);
    }
    if [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED].contains(&status) {
        return denied("AccessDenied".to_owned(), &message);
    }
    BackendError::Refused {
        code: status.as_u16().to_string(),
        message: format!("{message}: is it a server of S3 and IAM?"),
    }
}

fn unavailable(code: &str, message: &str) -> BackendError {
    BackendError::Unavailable(format!("the server can't now: {message} ({code})"))
}

fn denied(code: String, message: &str) -> BackendError {
    let advice = match code.as_str() {
        "RequestTimeTooSkewed" => "set the clock of this machine or of the server's",
        code if message.contains("region") && is_of_key(code) => {
            "look at the driver's --region (LARDER_COSI_REGION)"
        }
        code if message.contains("time") && is_of_key(code) => {
            "set the clock of this machine or of the server's"
        }
        code if is_of_key(code) => {
            "look at the driver's key pair, LARDER_COSI_ACCESS_KEY and LARDER_COSI_SECRET_KEY or the files of the same names: it is not one that counts on this server"
        }
        _ => {
            "the driver's user may not do this: give the driver the account's root, or its user the policy that docs/cosi-parameters.md shows"
        }
    };
    BackendError::Denied {
        message: format!("{message} ({code}); {advice}"),
        code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(status: u16, code: &str) -> BackendError {
        let body = format!("<Error><Code>{code}</Code><Message>Said so.</Message></Error>");
        of(StatusCode::from_u16(status).unwrap(), body.as_bytes(), "b")
    }

    #[test]
    fn codes_mean_what_is_to_be_done() {
        assert_eq!(
            xml(404, "NoSuchBucket"),
            BackendError::NoSuchBucket("b".to_owned())
        );
        assert!(matches!(xml(503, "SlowDown"), BackendError::Unavailable(_)));
        assert!(matches!(
            xml(500, "NeverSeen"),
            BackendError::Unavailable(_)
        ));
        assert!(matches!(
            xml(409, "ConditionalRequestConflict"),
            BackendError::Unavailable(_)
        ));
        assert!(matches!(
            xml(409, "OperationAborted"),
            BackendError::Unavailable(_)
        ));
        assert!(matches!(
            xml(400, "InvalidTag"),
            BackendError::Refused { .. }
        ));
        let denied = xml(403, "InvalidAccessKeyId").to_string();
        assert!(denied.contains("LARDER_COSI_ACCESS_KEY"), "{denied}");
        let denied = xml(403, "AccessDenied").to_string();
        assert!(
            denied.starts_with("Said so (AccessDenied); the driver's user"),
            "{denied}"
        );
    }

    #[test]
    fn the_admin_api_and_others_are_understood() {
        let body = br#"{"error": {"code": "NotFound", "message": "there is no disk 7"}}"#;
        let refused = of(StatusCode::NOT_FOUND, body, "b").to_string();
        assert_eq!(refused, "there is no disk 7 (NotFound)");
        let iam = b"<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>m</Message></Error></ErrorResponse>";
        let error = of(StatusCode::NOT_FOUND, iam, "b");
        assert_eq!(error, BackendError::NoSuchEntity("m".to_owned()));
        for body in ["", "<html>", "{}", "<a/>", "{\"error\": 1}"] {
            let of = |status| of(status, body.as_bytes(), "b");
            assert!(matches!(
                of(StatusCode::BAD_GATEWAY),
                BackendError::Unavailable(_)
            ));
            assert!(matches!(
                of(StatusCode::FORBIDDEN),
                BackendError::Denied { .. }
            ));
            assert!(matches!(
                of(StatusCode::NOT_FOUND),
                BackendError::Refused { .. }
            ));
        }
    }
}
