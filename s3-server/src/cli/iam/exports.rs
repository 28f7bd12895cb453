//! Credentials as lines for a shell: what aws-cli, SDKs and Larder's own commands find in their environment.

use std::fmt::Write as _;

use crate::cli::{connection::Connection, element::Element, print};

/// A key pair that was just made; it is shown this once.
pub(super) struct Pair {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    /// Of temporary credentials, and when they end.
    pub(super) session: Option<(String, String)>,
}

impl Pair {
    /// The key of a `CreateAccessKey`.
    pub(super) fn of_key(answer: &Element) -> Self {
        Self {
            access_key: answer.get("AccessKey/AccessKeyId"),
            secret_key: answer.get("AccessKey/SecretAccessKey"),
            session: None,
        }
    }

    /// The credentials in an answer of STS.
    pub(super) fn of_session(answer: &Element) -> Self {
        let of = |name: &str| answer.get(&format!("Credentials/{name}"));
        Self {
            access_key: of("AccessKeyId"),
            secret_key: of("SecretAccessKey"),
            session: Some((of("SessionToken"), of("Expiration"))),
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        });
        if let Some((token, until)) = &self.session {
            json["session_token"] = token.as_str().into();
            json["expiration"] = until.as_str().into();
        }
        json
    }

    /// Lines for a shell to evaluate.
    pub(super) fn exports(&self, connection: &Connection) -> String {
        let (endpoint, region) = (connection.base(), &connection.region);
        let mut lines = String::new();
        let mut export = |name: &str, value: &str| {
            // Writing to a string can't fail.
            let _written = writeln!(lines, "export {name}={}", quoted(value));
        };
        export("AWS_ACCESS_KEY_ID", &self.access_key);
        export("AWS_SECRET_ACCESS_KEY", &self.secret_key);
        if let Some((token, until)) = &self.session {
            export("AWS_SESSION_TOKEN", token);
            export("AWS_CREDENTIAL_EXPIRATION", until);
        }
        export("AWS_ENDPOINT_URL", &endpoint);
        // The second is what older clients read.
        export("AWS_REGION", region);
        export("AWS_DEFAULT_REGION", region);
        if let Some(file) = &connection.ca_file {
            export("AWS_CA_BUNDLE", &file.display().to_string());
        }
        if self.session.is_none() {
            // A token of before would be sent with this key, and refused.
            lines.push_str("unset AWS_SESSION_TOKEN AWS_CREDENTIAL_EXPIRATION\n");
        }
        lines
    }

    pub(super) fn print_exports(&self, connection: &Connection) -> std::io::Result<()> {
        print(&self.exports(connection))
    }
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=+,@%".contains(&b);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_it_stays_one_word() {
        assert_eq!(quoted("AKIA+/="), "AKIA+/=");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b;$(rm)"), "'a b;$(rm)'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
