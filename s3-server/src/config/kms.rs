//! Settings of named keys, put together.

use http::Uri;

use super::{ConfigError, MIN_TIMEOUT, Settings, at_least};
use crate::kms::{KmsSettings, TransitSettings};

impl Settings {
    /// What named keys there are.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`]: settings that don't go together.
    pub fn kms(&self) -> Result<KmsSettings, ConfigError> {
        Ok(KmsSettings {
            keys_file: self.kms_keys_file.clone(),
            default_key: self.kms_default_key.clone(),
            transit: self.transit()?,
        })
    }

    fn transit(&self) -> Result<Option<TransitSettings>, ConfigError> {
        let Some(url) = &self.kms_vault_url else {
            return match (&self.kms_vault_token_file, &self.kms_vault_ca_file) {
                (None, None) => Ok(None),
                (Some(_), _) => Err(invalid("kms-vault-token-file", "needs kms-vault-url")),
                (None, Some(_)) => Err(invalid("kms-vault-ca-file", "needs kms-vault-url")),
            };
        };
        let token_file = self.kms_vault_token_file.clone();
        at_least("kms-vault-timeout", self.kms_vault_timeout, MIN_TIMEOUT)?;
        Ok(Some(TransitSettings {
            url: address(url)?,
            mount: mount(&self.kms_vault_mount)?,
            namespace: self.kms_vault_namespace.clone(),
            token_file: token_file.ok_or_else(|| {
                invalid("kms-vault-token-file", "is missing: kms-vault-url is set")
            })?,
            ca_file: self.kms_vault_ca_file.clone(),
            timeout: self.kms_vault_timeout.duration(),
        }))
    }
}

/// The token goes nowhere in the clear but on this machine.
fn address(url: &str) -> Result<Uri, ConfigError> {
    let wrong = |reason| invalid("kms-vault-url", reason);
    let url: Uri = url.parse().map_err(|_| wrong("is no address"))?;
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(_)) | (Some("http"), Some("localhost" | "127.0.0.1" | "[::1]")) => {}
        (Some("http"), Some(_)) => {
            return Err(wrong(
                "must be https: the token would go over the network in the clear",
            ));
        }
        _ => return Err(wrong("is no https address")),
    }
    if url.query().is_some() {
        return Err(wrong("has a query"));
    }
    Ok(url)
}

fn mount(path: &str) -> Result<String, ConfigError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    let path = path.trim_matches('/');
    if !path.is_empty() && path.bytes().all(good) && !path.split('/').any(|part| part == "..") {
        return Ok(path.to_owned());
    }
    Err(invalid(
        "kms-vault-mount",
        "is no path of letters, digits, `.`, `_`, `-` and `/`",
    ))
}

fn invalid(setting: &'static str, reason: &str) -> ConfigError {
    let reason = reason.to_owned();
    ConfigError::Invalid { setting, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_here() {
        for (url, is_good) in [
            ("https://vault.example:8200", true),
            ("https://vault.example/proxied/", true),
            ("http://127.0.0.1:8200", true),
            ("http://vault.example:8200", false),
            ("http://127.0.0.1.evil.example", false),
            ("ftp://vault.example", false),
            ("https://vault.example?x=y", false),
            ("vault", false),
        ] {
            assert_eq!(address(url).is_ok(), is_good, "{url}");
        }
        for (path, is_good) in [
            ("transit", true),
            ("/a/b/", true),
            ("", false),
            ("a?b", false),
            ("a/../sys", false),
        ] {
            assert_eq!(mount(path).is_ok(), is_good, "{path}");
        }
    }
}
