//! Settings: plain values, put together from flags, `LARDER_*` variables, a TOML file and defaults.
//!
//! Precedence, highest first: flag, environment variable, file, default. Secrets are not settings
//! (see [`crate::credentials`]), so [`Settings`] may be printed whole.

mod expand;
mod file;
mod kms;
mod span;

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use larder_storage::objects::Profile;
use serde::{Deserialize, Serialize};

use crate::{
    access::Ownership,
    audit::AuditSettings,
    http::TrustedProxies,
    tls::{ClientAuth, MinVersion, TlsSettings},
    units::ByteSize,
};

pub use expand::{ExpandError, expand};
pub use file::FileSettings;
pub use span::Span;

/// Where S3 is served unless set.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9000";
/// The region unless set; the one that every client assumes.
pub const DEFAULT_REGION: &str = "us-east-1";
/// Open connections unless set.
pub const DEFAULT_MAX_CONNECTIONS: usize = 1024;
/// Requests in progress unless set.
pub const DEFAULT_MAX_REQUESTS: usize = 256;
/// Size of a log segment unless set, MiB.
pub const DEFAULT_SEGMENT_MIB: u32 = 64;
/// Days within which every byte on every disk is read and verified unless set.
pub const DEFAULT_SCRUB_DAYS: u32 = 14;
/// See [`Settings::lifecycle_day`].
pub const DEFAULT_LIFECYCLE_DAY: Span = Span::from_secs(24 * 60 * 60);
/// How long a disk may take for an operation unless set.
pub const DEFAULT_DISK_TIMEOUT: Span = Span::from_secs(30);

/// A shorter time would cut off clients, and take disks out, that are only busy.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a client may stall unless set.
pub const DEFAULT_CLIENT_TIMEOUT: Span = Span::from_secs(30);
/// How long a connection may wait for a request unless set.
pub const DEFAULT_IDLE_TIMEOUT: Span = Span::from_secs(60);
/// Size at which the audit log is put aside, unless set.
pub const DEFAULT_AUDIT_LOG_SIZE: ByteSize = ByteSize(100 << 20);
/// Files of it that are kept, unless set.
pub const DEFAULT_AUDIT_LOG_KEEP: u32 = 10;
/// Smaller files of it would be put aside all the time.
const MIN_AUDIT_LOG_SIZE: ByteSize = ByteSize(64 << 10);
/// How often access logs are written unless set.
pub const DEFAULT_ACCESS_LOG_INTERVAL: Span = Span::from_secs(5 * 60);
/// Where the transit engine is mounted unless set.
pub const DEFAULT_KMS_VAULT_MOUNT: &str = "transit";
/// How long an answer of it may take unless set.
pub const DEFAULT_KMS_VAULT_TIMEOUT: Span = Span::from_secs(5);
/// How long requests may take to finish after the stop unless set; less than the 30 s after which Kubernetes kills.
pub const DEFAULT_STOP_GRACE: Span = Span::from_secs(25);

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The embedded key-value store that holds the view of the metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum MetaEngine {
    /// fjall: log-structured merge trees.
    #[default]
    Fjall,
    /// sled: a Bw-tree.
    Sled,
}

/// `k+m`: data and parity shards of a stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileSetting {
    /// k: shards that hold data.
    pub data: u8,
    /// m: shards that may be lost.
    pub parity: u8,
}

impl ProfileSetting {
    /// The same for the store.
    ///
    /// # Errors
    /// A sentence: there can't be such a profile.
    pub fn profile(self) -> Result<Profile, String> {
        Profile::new(self.data, self.parity).map_err(|error| format!("profile {self}: {error}"))
    }
}

impl FromStr for ProfileSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no profile: write data+parity shards, such as 2+2");
        let (data, parity) = text.split_once('+').ok_or_else(bad)?;
        let data: u8 = data.trim().parse().map_err(|_| bad())?;
        let parity: u8 = parity.trim().parse().map_err(|_| bad())?;
        let fits = data >= 1 && data.checked_add(parity).is_some();
        fits.then_some(Self { data, parity }).ok_or_else(bad)
    }
}

impl TryFrom<String> for ProfileSetting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ProfileSetting> for String {
    fn from(profile: ProfileSetting) -> Self {
        profile.to_string()
    }
}

impl fmt::Display for ProfileSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

/// What `larder server` runs with. Every field has its value here; nothing is looked up later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Where S3 is served. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where S3 is served without TLS besides.
    pub http_listen: Option<SocketAddr>,
    /// The server's certificate, PEM: [`Settings::listen`] speaks TLS then.
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Authorities that sign clients' certificates.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients must show a certificate, where there are such authorities; `None`: they must.
    pub tls_client_auth: Option<ClientAuth>,
    /// The oldest version of TLS that is spoken; `None`: 1.2.
    pub tls_min_version: Option<MinVersion>,
    /// Where each request is logged; `-` for standard output, `None`: nowhere.
    pub audit_log: Option<PathBuf>,
    /// Size at which that file is put aside.
    pub audit_log_size: ByteSize,
    /// Files put aside that are kept.
    pub audit_log_keep: u32,
    /// One directory a disk, in order.
    pub data: Vec<PathBuf>,
    /// `None`: chosen by the number of disks.
    pub profile: Option<ProfileSetting>,
    /// The region that requests must be signed for.
    pub region: String,
    /// Suffixes of host-style addresses, lower-case.
    pub domains: Vec<String>,
    /// Where to write the address that is listened on, once it is.
    pub address_file: Option<PathBuf>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// A `tracing` filter, such as `info` or `larder_server=debug`.
    pub log_level: String,
    /// The engine of the metadata view.
    pub meta_engine: MetaEngine,
    /// Where the metadata view is kept; `None`: in the directory of the first good disk.
    pub view_dir: Option<PathBuf>,
    /// Open connections; one more is answered `503 SlowDown` and closed.
    pub max_connections: usize,
    /// Requests in progress; one more is answered `503 SlowDown`.
    pub max_requests: usize,
    /// How long a client may send or take less than 16 KiB while the server waits for it.
    pub client_timeout: Span,
    /// How long a connection may take to send the head of a request, idle time before it included.
    pub idle_timeout: Span,
    /// How long requests in progress may go on after SIGTERM.
    pub stop_grace: Span,
    /// A disk with an operation that takes longer is out until the next start.
    pub disk_timeout: Span,
    /// Every byte on every disk is read and verified within so many days; 0: only when somebody says so.
    pub scrub_days: u32,
    /// How long a day of lifecycle rules is; another than 24 hours is for trying rules out.
    pub lifecycle_day: Span,
    /// Size at which a segment of a disk's log is sealed, MiB.
    pub segment_mib: u32,
    /// How often access logs are written.
    pub access_log_interval: Span,
    /// A file of accounts besides the operator's.
    pub accounts: Option<PathBuf>,
    /// A file of those who may be told of what happens to objects.
    pub notify_targets: Option<PathBuf>,
    /// Addresses or ranges of proxies that are believed when they say who a client is.
    pub trusted_proxies: Vec<String>,
    /// Who owns the objects of buckets without ownership controls, and whether their access control lists count.
    pub object_ownership: Ownership,
    /// Whether objects are encrypted whose requests and buckets don't ask for it.
    pub encrypt_all: bool,
    /// See [`Oidc::ca_file`].
    pub oidc_ca_file: Option<PathBuf>,
    /// See [`Oidc::http`].
    pub oidc_http: bool,
    /// A file of named keys, lines `name:base64`.
    pub kms_keys_file: Option<PathBuf>,
    /// The named key of whoever asks for `aws:kms` and names none; `None`: the master keys.
    pub kms_default_key: Option<String>,
    /// A Vault or `OpenBao` whose transit engine holds named keys.
    pub kms_vault_url: Option<String>,
    /// A file with its token.
    pub kms_vault_token_file: Option<PathBuf>,
    /// Where its transit engine is mounted.
    pub kms_vault_mount: String,
    /// The namespace that the engine is in.
    pub kms_vault_namespace: Option<String>,
    /// Authorities that its certificate may be from, beside the system's.
    pub kms_vault_ca_file: Option<PathBuf>,
    /// How long an answer of it may take.
    pub kms_vault_timeout: Span,
}

/// How identity providers are asked for their keys. `Default`: over `https`, with an authority that the system trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oidc {
    /// Authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether plain `http` from this machine itself counts, too. Tenants may then have the server ask its own ports.
    pub http: bool,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("configuration file {}: {}", path.display(), source.message())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A `{1...4}` pattern is wrong.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// No directory to keep data in.
    #[error(
        "no data directories: give at least one with --data, LARDER_DATA or `data` in the file"
    )]
    NoData,
    /// A directory is there twice.
    #[error("data directory {} is given twice", .0.display())]
    DuplicateData(PathBuf),
    /// More shards than disks.
    #[error("profile {profile} needs {} disks, {disks} given", u16::from(profile.data) + u16::from(profile.parity))]
    TooFewDisks {
        /// The profile.
        profile: ProfileSetting,
        /// Directories given.
        disks: usize,
    },
    /// A setting has a value that it cannot have.
    #[error("{setting}: {reason}")]
    Invalid {
        /// Its name.
        setting: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Settings {
    /// Puts settings together: what flags and environment gave in `over`, then the file, then defaults.
    ///
    /// # Errors
    /// [`ConfigError`]: the operator corrects the setting that it names.
    pub fn resolve(over: FileSettings, file: Option<&Path>) -> Result<Self, ConfigError> {
        let under = file.map_or_else(|| Ok(FileSettings::default()), read_file)?;
        let settings = over.or(under).into_settings()?;
        settings.check()?;
        Ok(settings)
    }

    /// The settings as TOML, which a file may hold again.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.check_data()?;
        check_region(&self.region)?;
        self.domains
            .iter()
            .try_for_each(|domain| check_domain(domain))?;
        at_least_one("max-connections", self.max_connections)?;
        at_least_one("max-requests", self.max_requests)?;
        at_least("client-timeout", self.client_timeout, MIN_TIMEOUT)?;
        at_least("idle-timeout", self.idle_timeout, MIN_TIMEOUT)?;
        at_least("access-log-interval", self.access_log_interval, MIN_TIMEOUT)?;
        at_least("disk-timeout", self.disk_timeout, MIN_TIMEOUT)?;
        at_least("lifecycle-day", self.lifecycle_day, MIN_TIMEOUT)?;
        check_segment(self.segment_mib)?;
        self.proxies()?;
        self.check_audit()?;
        self.kms()?;
        self.tls().map(drop)
    }

    fn check_audit(&self) -> Result<(), ConfigError> {
        if self.audit_log_size >= MIN_AUDIT_LOG_SIZE {
            return Ok(());
        }
        Err(ConfigError::Invalid {
            setting: "audit-log-size",
            reason: format!("must be at least {MIN_AUDIT_LOG_SIZE}"),
        })
    }

    /// Where requests are logged, if they are.
    pub fn audit(&self) -> Option<AuditSettings> {
        Some(AuditSettings {
            path: self.audit_log.clone()?,
            max_bytes: self.audit_log_size.0,
            keep: self.audit_log_keep,
        })
    }

    /// What TLS is made of; `None`: plain HTTP.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`]: settings that don't go together.
    pub fn tls(&self) -> Result<Option<TlsSettings>, ConfigError> {
        let invalid = |setting, reason: &str| {
            let reason = reason.to_owned();
            Err(ConfigError::Invalid { setting, reason })
        };
        if self.tls_client_auth.is_some() && self.tls_client_ca.is_none() {
            return invalid("tls-client-auth", "needs tls-client-ca");
        }
        let (cert, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (Some(_), None) => return invalid("tls-key", "is missing: tls-cert is set"),
            (None, Some(_)) => return invalid("tls-cert", "is missing: tls-key is set"),
            // Whoever sets them believes that clients are held to them.
            (None, None) if self.tls_client_ca.is_some() => {
                return invalid("tls-client-ca", "needs tls-cert and tls-key");
            }
            (None, None) if self.tls_min_version.is_some() => {
                return invalid("tls-min-version", "needs tls-cert and tls-key");
            }
            (None, None) if self.http_listen.is_some() => {
                return invalid(
                    "http-listen",
                    "is for plain HTTP beside TLS: set tls-cert and tls-key, or leave it out",
                );
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(TlsSettings {
            cert,
            key,
            client_ca: self.tls_client_ca.clone(),
            client_auth: self.tls_client_auth.unwrap_or_default(),
            min_version: self.tls_min_version.unwrap_or_default(),
        }))
    }

    /// The proxies that are believed.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn proxies(&self) -> Result<TrustedProxies, ConfigError> {
        TrustedProxies::parse(&self.trusted_proxies).map_err(|text| ConfigError::Invalid {
            setting: "trusted-proxy",
            reason: format!("`{text}` is no address and no range such as 10.0.0.0/8"),
        })
    }

    fn check_data(&self) -> Result<(), ConfigError> {
        if self.data.is_empty() {
            return Err(ConfigError::NoData);
        }
        for (i, dir) in self.data.iter().enumerate() {
            if self.data[..i].contains(dir) {
                return Err(ConfigError::DuplicateData(dir.clone()));
            }
        }
        let disks = self.data.len();
        match self.profile {
            Some(profile) if usize::from(profile.data) + usize::from(profile.parity) > disks => {
                Err(ConfigError::TooFewDisks { profile, disks })
            }
            _ => Ok(()),
        }
    }
}

fn at_least_one(setting: &'static str, value: usize) -> Result<(), ConfigError> {
    match value {
        0 => Err(ConfigError::Invalid {
            setting,
            reason: "must be at least 1".to_owned(),
        }),
        _ => Ok(()),
    }
}

fn at_least(setting: &'static str, value: Span, least: Duration) -> Result<(), ConfigError> {
    if value.duration() >= least {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        setting,
        reason: format!("must be at least {least:?}"),
    })
}

fn check_segment(mib: u32) -> Result<(), ConfigError> {
    if (1..=1024).contains(&mib) {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        setting: "segment-mib",
        reason: "must be from 1 to 1024".to_owned(),
    })
}

fn check_region(region: &str) -> Result<(), ConfigError> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !region.is_empty() && region.bytes().all(good) {
        return Ok(());
    }
    let reason = format!("`{region}` may hold only a-z, 0-9 and -");
    Err(ConfigError::Invalid {
        setting: "region",
        reason,
    })
}

fn check_domain(domain: &str) -> Result<(), ConfigError> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let dotted = domain.starts_with('.') || domain.ends_with('.');
    if !domain.is_empty() && !dotted && domain.bytes().all(good) {
        return Ok(());
    }
    let reason =
        format!("`{domain}` is no host name (leave scheme, port and dots at the ends out)");
    Err(ConfigError::Invalid {
        setting: "domain",
        reason,
    })
}

fn read_file(path: &Path) -> Result<FileSettings, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|source| ConfigError::Malformed {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests;
