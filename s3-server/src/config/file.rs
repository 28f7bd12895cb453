//! Settings that may be missing: what a TOML file, or flags and environment, say.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use crate::{
    access::Ownership,
    tls::{ClientAuth, MinVersion},
    units::ByteSize,
};

use super::{
    ConfigError, DEFAULT_ACCESS_LOG_INTERVAL, DEFAULT_AUDIT_LOG_KEEP, DEFAULT_AUDIT_LOG_SIZE,
    DEFAULT_CLIENT_TIMEOUT, DEFAULT_DISK_TIMEOUT, DEFAULT_IDLE_TIMEOUT, DEFAULT_KMS_VAULT_MOUNT,
    DEFAULT_KMS_VAULT_TIMEOUT, DEFAULT_LIFECYCLE_DAY, DEFAULT_LISTEN, DEFAULT_MAX_CONNECTIONS,
    DEFAULT_MAX_REQUESTS, DEFAULT_REGION, DEFAULT_SCRUB_DAYS, DEFAULT_SEGMENT_MIB,
    DEFAULT_STOP_GRACE, LogFormat, MetaEngine, ProfileSetting, Settings, Span, expand,
};

/// Settings of one source. Names in TOML are those of the flags, with `_` for `-`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// See [`Settings::listen`].
    pub listen: Option<SocketAddr>,
    /// See [`Settings::http_listen`].
    pub http_listen: Option<SocketAddr>,
    /// See [`Settings::tls_cert`].
    pub tls_cert: Option<PathBuf>,
    /// See [`Settings::tls_key`].
    pub tls_key: Option<PathBuf>,
    /// See [`Settings::tls_client_ca`].
    pub tls_client_ca: Option<PathBuf>,
    /// See [`Settings::tls_client_auth`].
    pub tls_client_auth: Option<ClientAuth>,
    /// See [`Settings::tls_min_version`].
    pub tls_min_version: Option<MinVersion>,
    /// See [`Settings::audit_log`].
    pub audit_log: Option<PathBuf>,
    /// See [`Settings::audit_log_size`].
    pub audit_log_size: Option<ByteSize>,
    /// See [`Settings::audit_log_keep`].
    pub audit_log_keep: Option<u32>,
    /// Directories, `{1...4}` not expanded yet.
    pub data: Option<Vec<String>>,
    /// See [`Settings::profile`].
    pub profile: Option<ProfileSetting>,
    /// See [`Settings::region`].
    pub region: Option<String>,
    /// See [`Settings::domains`].
    pub domains: Option<Vec<String>>,
    /// See [`Settings::address_file`].
    pub address_file: Option<PathBuf>,
    /// See [`Settings::log_format`].
    pub log_format: Option<LogFormat>,
    /// See [`Settings::log_level`].
    pub log_level: Option<String>,
    /// See [`Settings::meta_engine`].
    pub meta_engine: Option<MetaEngine>,
    /// See [`Settings::view_dir`].
    pub view_dir: Option<PathBuf>,
    /// See [`Settings::max_connections`].
    pub max_connections: Option<usize>,
    /// See [`Settings::max_requests`].
    pub max_requests: Option<usize>,
    /// See [`Settings::client_timeout`].
    pub client_timeout: Option<Span>,
    /// See [`Settings::idle_timeout`].
    pub idle_timeout: Option<Span>,
    /// See [`Settings::stop_grace`].
    pub stop_grace: Option<Span>,
    /// See [`Settings::disk_timeout`].
    pub disk_timeout: Option<Span>,
    /// See [`Settings::scrub_days`].
    pub scrub_days: Option<u32>,
    /// See [`Settings::lifecycle_day`].
    pub lifecycle_day: Option<Span>,
    /// See [`Settings::segment_mib`].
    pub segment_mib: Option<u32>,
    /// See [`Settings::access_log_interval`].
    pub access_log_interval: Option<Span>,
    /// See [`Settings::accounts`].
    pub accounts: Option<PathBuf>,
    /// See [`Settings::notify_targets`].
    pub notify_targets: Option<PathBuf>,
    /// See [`Settings::trusted_proxies`].
    pub trusted_proxies: Option<Vec<String>>,
    /// See [`Settings::object_ownership`].
    pub object_ownership: Option<Ownership>,
    /// See [`Settings::encrypt_all`].
    pub encrypt_all: Option<bool>,
    /// See [`Settings::oidc_ca_file`].
    pub oidc_ca_file: Option<PathBuf>,
    /// See [`Settings::oidc_http`].
    pub oidc_http: Option<bool>,
    /// See [`Settings::kms_keys_file`].
    pub kms_keys_file: Option<PathBuf>,
    /// See [`Settings::kms_default_key`].
    pub kms_default_key: Option<String>,
    /// See [`Settings::kms_vault_url`].
    pub kms_vault_url: Option<String>,
    /// See [`Settings::kms_vault_token_file`].
    pub kms_vault_token_file: Option<PathBuf>,
    /// See [`Settings::kms_vault_mount`].
    pub kms_vault_mount: Option<String>,
    /// See [`Settings::kms_vault_namespace`].
    pub kms_vault_namespace: Option<String>,
    /// See [`Settings::kms_vault_ca_file`].
    pub kms_vault_ca_file: Option<PathBuf>,
    /// See [`Settings::kms_vault_timeout`].
    pub kms_vault_timeout: Option<Span>,
}

impl FileSettings {
    /// These settings, with gaps filled from `under`.
    #[must_use]
    pub fn or(self, under: Self) -> Self {
        Self {
            listen: self.listen.or(under.listen),
            http_listen: self.http_listen.or(under.http_listen),
            tls_cert: self.tls_cert.or(under.tls_cert),
            tls_key: self.tls_key.or(under.tls_key),
            tls_client_ca: self.tls_client_ca.or(under.tls_client_ca),
            tls_client_auth: self.tls_client_auth.or(under.tls_client_auth),
            tls_min_version: self.tls_min_version.or(under.tls_min_version),
            audit_log: self.audit_log.or(under.audit_log),
            audit_log_size: self.audit_log_size.or(under.audit_log_size),
            audit_log_keep: self.audit_log_keep.or(under.audit_log_keep),
            data: self.data.or(under.data),
            profile: self.profile.or(under.profile),
            region: self.region.or(under.region),
            domains: self.domains.or(under.domains),
            address_file: self.address_file.or(under.address_file),
            log_format: self.log_format.or(under.log_format),
            log_level: self.log_level.or(under.log_level),
            meta_engine: self.meta_engine.or(under.meta_engine),
            view_dir: self.view_dir.or(under.view_dir),
            max_connections: self.max_connections.or(under.max_connections),
            max_requests: self.max_requests.or(under.max_requests),
            client_timeout: self.client_timeout.or(under.client_timeout),
            idle_timeout: self.idle_timeout.or(under.idle_timeout),
            stop_grace: self.stop_grace.or(under.stop_grace),
            disk_timeout: self.disk_timeout.or(under.disk_timeout),
            scrub_days: self.scrub_days.or(under.scrub_days),
            lifecycle_day: self.lifecycle_day.or(under.lifecycle_day),
            segment_mib: self.segment_mib.or(under.segment_mib),
            access_log_interval: self.access_log_interval.or(under.access_log_interval),
            accounts: self.accounts.or(under.accounts),
            notify_targets: self.notify_targets.or(under.notify_targets),
            trusted_proxies: self.trusted_proxies.or(under.trusted_proxies),
            object_ownership: self.object_ownership.or(under.object_ownership),
            encrypt_all: self.encrypt_all.or(under.encrypt_all),
            oidc_ca_file: self.oidc_ca_file.or(under.oidc_ca_file),
            oidc_http: self.oidc_http.or(under.oidc_http),
            kms_keys_file: self.kms_keys_file.or(under.kms_keys_file),
            kms_default_key: self.kms_default_key.or(under.kms_default_key),
            kms_vault_url: self.kms_vault_url.or(under.kms_vault_url),
            kms_vault_token_file: self.kms_vault_token_file.or(under.kms_vault_token_file),
            kms_vault_mount: self.kms_vault_mount.or(under.kms_vault_mount),
            kms_vault_namespace: self.kms_vault_namespace.or(under.kms_vault_namespace),
            kms_vault_ca_file: self.kms_vault_ca_file.or(under.kms_vault_ca_file),
            kms_vault_timeout: self.kms_vault_timeout.or(under.kms_vault_timeout),
        }
    }

    /// Fills gaps with defaults and expands the patterns of directories.
    pub(super) fn into_settings(self) -> Result<Settings, ConfigError> {
        let mut data = Vec::new();
        for pattern in self.data.unwrap_or_default() {
            data.extend(expand(&pattern)?.into_iter().map(PathBuf::from));
        }
        let domains = self.domains.unwrap_or_default();
        Ok(Settings {
            listen: self.listen.map_or_else(default_listen, Ok)?,
            http_listen: self.http_listen,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            tls_client_ca: self.tls_client_ca,
            tls_client_auth: self.tls_client_auth,
            tls_min_version: self.tls_min_version,
            audit_log: self.audit_log,
            audit_log_size: self.audit_log_size.unwrap_or(DEFAULT_AUDIT_LOG_SIZE),
            audit_log_keep: self.audit_log_keep.unwrap_or(DEFAULT_AUDIT_LOG_KEEP),
            data,
            profile: self.profile,
            region: self.region.unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            domains: domains.iter().map(|d| d.to_ascii_lowercase()).collect(),
            address_file: self.address_file,
            log_format: self.log_format.unwrap_or_default(),
            log_level: self.log_level.unwrap_or_else(|| "info".to_owned()),
            meta_engine: self.meta_engine.unwrap_or_default(),
            view_dir: self.view_dir,
            max_connections: self.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS),
            max_requests: self.max_requests.unwrap_or(DEFAULT_MAX_REQUESTS),
            client_timeout: self.client_timeout.unwrap_or(DEFAULT_CLIENT_TIMEOUT),
            idle_timeout: self.idle_timeout.unwrap_or(DEFAULT_IDLE_TIMEOUT),
            stop_grace: self.stop_grace.unwrap_or(DEFAULT_STOP_GRACE),
            disk_timeout: self.disk_timeout.unwrap_or(DEFAULT_DISK_TIMEOUT),
            scrub_days: self.scrub_days.unwrap_or(DEFAULT_SCRUB_DAYS),
            lifecycle_day: self.lifecycle_day.unwrap_or(DEFAULT_LIFECYCLE_DAY),
            segment_mib: self.segment_mib.unwrap_or(DEFAULT_SEGMENT_MIB),
            access_log_interval: self
                .access_log_interval
                .unwrap_or(DEFAULT_ACCESS_LOG_INTERVAL),
            accounts: self.accounts,
            notify_targets: self.notify_targets,
            trusted_proxies: self.trusted_proxies.unwrap_or_default(),
            object_ownership: self.object_ownership.unwrap_or_default(),
            encrypt_all: self.encrypt_all.unwrap_or_default(),
            oidc_ca_file: self.oidc_ca_file,
            oidc_http: self.oidc_http.unwrap_or_default(),
            kms_keys_file: self.kms_keys_file,
            kms_default_key: self.kms_default_key,
            kms_vault_url: self.kms_vault_url,
            kms_vault_token_file: self.kms_vault_token_file,
            kms_vault_mount: self
                .kms_vault_mount
                .unwrap_or_else(|| DEFAULT_KMS_VAULT_MOUNT.to_owned()),
            kms_vault_namespace: self.kms_vault_namespace,
            kms_vault_ca_file: self.kms_vault_ca_file,
            kms_vault_timeout: self.kms_vault_timeout.unwrap_or(DEFAULT_KMS_VAULT_TIMEOUT),
        })
    }
}

fn default_listen() -> Result<SocketAddr, ConfigError> {
    DEFAULT_LISTEN.parse().map_err(|_| ConfigError::Invalid {
        setting: "listen",
        reason: "the default is no address".to_owned(),
    })
}
