//! `larder server`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{Outcome, print};
use crate::{
    access::Ownership,
    config::{FileSettings, LogFormat, MetaEngine, ProfileSetting, Settings, Span},
    server,
    tls::{ClientAuth, MinVersion},
    units::ByteSize,
};

/// Serve S3 from local directories.
///
/// Each setting is taken from its flag, else from its LARDER_* variable, else from the file of
/// --config, else from its default. Root credentials come from LARDER_ROOT_ACCESS_KEY and
/// LARDER_ROOT_SECRET_KEY (or from the files that the same names with _FILE name); without them a
/// pair is made up at the first start and kept in credentials.json in each data directory.
#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the help of the command line is plain text"
)]
pub(super) struct ServerArgs {
    /// Address and port to serve S3 on; port 0 takes a free one [default: 127.0.0.1:9000].
    #[arg(long, env = "LARDER_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Directories to keep data in, one for each disk; /srv/disk{1...4} names four.
    #[arg(long, env = "LARDER_DATA", value_name = "DIR", num_args = 1.., value_delimiter = ',')]
    data: Option<Vec<String>>,
    /// Data and parity shards, such as 2+2: any two disks may be lost [default: by number of disks].
    #[arg(long, env = "LARDER_PROFILE", value_name = "K+M")]
    profile: Option<ProfileSetting>,
    /// The region that clients sign for [default: us-east-1].
    #[arg(long, env = "LARDER_REGION")]
    region: Option<String>,
    /// A suffix of host-style addresses: with s3.example, bucket.s3.example is a bucket. Repeatable.
    #[arg(
        long = "domain",
        env = "LARDER_DOMAIN",
        value_name = "DOMAIN",
        value_delimiter = ','
    )]
    domains: Option<Vec<String>>,
    /// A TOML file with settings, named as the flags with _ for -, and `domains` for --domain.
    #[arg(long, env = "LARDER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the address listened on to this file once requests are served.
    #[arg(long, env = "LARDER_ADDRESS_FILE", value_name = "FILE")]
    address_file: Option<PathBuf>,
    /// How log lines look, on stderr [default: human].
    #[arg(long, env = "LARDER_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as larder_server=debug [default: info].
    #[arg(long, env = "LARDER_LOG_LEVEL", value_name = "FILTER")]
    log_level: Option<String>,
    /// The engine of the metadata view, which is a cache of what the disks hold [default: fjall].
    #[arg(long, env = "LARDER_META_ENGINE", value_enum)]
    meta_engine: Option<MetaEngine>,
    /// Where the metadata view is kept, a cache of what the disks hold [default: on the first good disk].
    #[arg(long, env = "LARDER_VIEW_DIR", value_name = "DIR")]
    view_dir: Option<PathBuf>,
    /// Open connections at most; one more gets 503 SlowDown [default: 1024].
    #[arg(long, env = "LARDER_MAX_CONNECTIONS", value_name = "COUNT")]
    max_connections: Option<usize>,
    /// Requests in progress at most; one more gets 503 SlowDown [default: 256].
    #[arg(long, env = "LARDER_MAX_REQUESTS", value_name = "COUNT")]
    max_requests: Option<usize>,
    /// How long a client may send or take less than 16 KiB while the server waits for it [default: 30s].
    #[arg(long, env = "LARDER_CLIENT_TIMEOUT", value_name = "TIME")]
    client_timeout: Option<Span>,
    /// How long a connection may take to send a request's headers, idle time included [default: 60s].
    #[arg(long, env = "LARDER_IDLE_TIMEOUT", value_name = "TIME")]
    idle_timeout: Option<Span>,
    /// How long requests in progress may go on after SIGTERM [default: 25s].
    #[arg(long, env = "LARDER_STOP_GRACE", value_name = "TIME")]
    stop_grace: Option<Span>,
    /// A disk with an operation that takes longer is out until the next start, such as 30s or 2m [default: 30s].
    #[arg(long, env = "LARDER_DISK_TIMEOUT", value_name = "TIME")]
    disk_timeout: Option<Span>,
    /// Every byte on every disk is read and verified within so many days, 0 for never [default: 14].
    #[arg(long, env = "LARDER_SCRUB_DAYS", value_name = "DAYS")]
    scrub_days: Option<u32>,
    /// How long a day of lifecycle rules is, such as 10s: for trying rules out, objects expire accordingly [default: 24h].
    #[arg(long, env = "LARDER_LIFECYCLE_DAY", value_name = "TIME")]
    lifecycle_day: Option<Span>,
    /// Size of a segment of a disk's log, MiB, 1 to 1024: space of small objects comes back in such pieces [default: 64].
    #[arg(long, env = "LARDER_SEGMENT_MIB", value_name = "MIB")]
    segment_mib: Option<u32>,
    /// How often the access logs of buckets are written into their target buckets [default: 5m].
    #[arg(long, env = "LARDER_ACCESS_LOG_INTERVAL", value_name = "TIME")]
    access_log_interval: Option<Span>,
    /// A TOML file of accounts, a table `account` each with id, name, email, access_key and secret_key; read again when it changes.
    #[arg(long, env = "LARDER_ACCOUNTS", value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// A TOML file of those who may be told of what happens to objects (bucket notifications), a table `target` each; read again when it changes.
    #[arg(long, env = "LARDER_NOTIFY_TARGETS", value_name = "FILE")]
    notify_targets: Option<PathBuf>,
    /// A proxy, or a range of them such as 10.0.0.0/8, that is believed when its X-Forwarded-For and X-Forwarded-Proto say who the client
    /// is; nobody else is. Repeatable.
    #[arg(
        long = "trusted-proxy",
        env = "LARDER_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    trusted_proxies: Option<Vec<String>>,
    /// Who owns the objects of buckets without ownership controls; all but BucketOwnerEnforced let access control lists be set, as S3 did
    /// before 2023 [default: BucketOwnerEnforced].
    #[arg(long, env = "LARDER_OBJECT_OWNERSHIP", value_enum)]
    object_ownership: Option<Ownership>,
    /// Encrypts all objects, also those whose requests and buckets don't ask for it.
    #[arg(long, env = "LARDER_ENCRYPT_ALL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    encrypt_all: Option<bool>,
    /// Authorities that identity providers (OIDC) may have their certificates from, beside the system's: those of a Kubernetes cluster, say; PEM.
    #[arg(long, env = "LARDER_OIDC_CA_FILE", value_name = "FILE")]
    oidc_ca_file: Option<PathBuf>,
    /// Believe identity providers without TLS on this machine's loopback, too: for trying things out.
    #[arg(long, env = "LARDER_OIDC_HTTP", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    oidc_http: Option<bool>,
    /// A file of keys that requests call by name (aws:kms), lines name:base64; read again when it changes.
    #[arg(long, env = "LARDER_KMS_KEYS_FILE", value_name = "FILE")]
    kms_keys_file: Option<PathBuf>,
    /// The named key of requests for aws:kms that name none [default: the master keys].
    #[arg(long, env = "LARDER_KMS_DEFAULT_KEY", value_name = "NAME")]
    kms_default_key: Option<String>,
    /// A Vault or OpenBao whose transit engine holds keys that requests call by name (aws:kms).
    #[arg(long, env = "LARDER_KMS_VAULT_URL", value_name = "URL")]
    kms_vault_url: Option<String>,
    /// A file with the token for --kms-vault-url; read again when it changes.
    #[arg(long, env = "LARDER_KMS_VAULT_TOKEN_FILE", value_name = "FILE")]
    kms_vault_token_file: Option<PathBuf>,
    /// Where the transit engine is mounted [default: transit].
    #[arg(long, env = "LARDER_KMS_VAULT_MOUNT", value_name = "PATH")]
    kms_vault_mount: Option<String>,
    /// The namespace that the transit engine is in.
    #[arg(long, env = "LARDER_KMS_VAULT_NAMESPACE", value_name = "NAME")]
    kms_vault_namespace: Option<String>,
    /// Authorities that the certificate of --kms-vault-url may be from, beside the system's, PEM.
    #[arg(long, env = "LARDER_KMS_VAULT_CA_FILE", value_name = "FILE")]
    kms_vault_ca_file: Option<PathBuf>,
    /// How long an answer of --kms-vault-url may take [default: 5s].
    #[arg(long, env = "LARDER_KMS_VAULT_TIMEOUT", value_name = "TIME")]
    kms_vault_timeout: Option<Span>,
    /// The server's certificate and those that lead to its root, PEM: --listen speaks TLS then. Read again when it changes.
    #[arg(long, env = "LARDER_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, PEM.
    #[arg(long, env = "LARDER_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Authorities, PEM: clients must show a certificate that one of them has signed, besides signing their requests.
    #[arg(long, env = "LARDER_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Whether clients must show a certificate where there is --tls-client-ca [default: required].
    #[arg(long, env = "LARDER_TLS_CLIENT_AUTH", value_enum)]
    tls_client_auth: Option<ClientAuth>,
    /// The oldest version of TLS that clients may speak [default: 1.2].
    #[arg(long, env = "LARDER_TLS_MIN_VERSION", value_enum)]
    tls_min_version: Option<MinVersion>,
    /// Serve plain HTTP here as well, where --listen speaks TLS: for probes and for clients on the same machine.
    #[arg(long, env = "LARDER_HTTP_LISTEN", value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// Log each request as a line of JSON to this file; `-` for standard output. See docs/audit.md.
    #[arg(long, env = "LARDER_AUDIT_LOG", value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Size at which the audit log is put aside and begun anew [default: 100MiB].
    #[arg(long, env = "LARDER_AUDIT_LOG_SIZE", value_name = "SIZE")]
    audit_log_size: Option<ByteSize>,
    /// Files of the audit log that were put aside and are kept [default: 10].
    #[arg(long, env = "LARDER_AUDIT_LOG_KEEP", value_name = "COUNT")]
    audit_log_keep: Option<u32>,
    /// Print the settings in effect as TOML, secrets left out, and stop.
    #[arg(long)]
    check_config: bool,
}

pub(super) fn run(args: ServerArgs) -> Outcome {
    let check_only = args.check_config;
    let file = args.config.clone();
    let settings = Settings::resolve(args.into(), file.as_deref())?;
    if check_only {
        return Ok(print(&settings.to_toml())?);
    }
    Ok(server::run(settings, &mut std::io::stdout())?)
}

impl From<ServerArgs> for FileSettings {
    fn from(args: ServerArgs) -> Self {
        Self {
            listen: args.listen,
            http_listen: args.http_listen,
            audit_log: args.audit_log,
            audit_log_size: args.audit_log_size,
            audit_log_keep: args.audit_log_keep,
            tls_cert: args.tls_cert,
            tls_key: args.tls_key,
            tls_client_ca: args.tls_client_ca,
            tls_client_auth: args.tls_client_auth,
            tls_min_version: args.tls_min_version,
            data: args.data,
            profile: args.profile,
            region: args.region,
            domains: args.domains,
            address_file: args.address_file,
            log_format: args.log_format,
            log_level: args.log_level,
            meta_engine: args.meta_engine,
            view_dir: args.view_dir,
            max_connections: args.max_connections,
            max_requests: args.max_requests,
            client_timeout: args.client_timeout,
            idle_timeout: args.idle_timeout,
            stop_grace: args.stop_grace,
            disk_timeout: args.disk_timeout,
            scrub_days: args.scrub_days,
            lifecycle_day: args.lifecycle_day,
            segment_mib: args.segment_mib,
            access_log_interval: args.access_log_interval,
            accounts: args.accounts,
            notify_targets: args.notify_targets,
            trusted_proxies: args.trusted_proxies,
            object_ownership: args.object_ownership,
            encrypt_all: args.encrypt_all,
            oidc_ca_file: args.oidc_ca_file,
            oidc_http: args.oidc_http,
            kms_keys_file: args.kms_keys_file,
            kms_default_key: args.kms_default_key,
            kms_vault_url: args.kms_vault_url,
            kms_vault_token_file: args.kms_vault_token_file,
            kms_vault_mount: args.kms_vault_mount,
            kms_vault_namespace: args.kms_vault_namespace,
            kms_vault_ca_file: args.kms_vault_ca_file,
            kms_vault_timeout: args.kms_vault_timeout,
        }
    }
}
