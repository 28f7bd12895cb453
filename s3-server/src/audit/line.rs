//! What lines are made of. The names of the fields are documented in `docs/audit.md`.

use serde::Serialize;
use time::{OffsetDateTime, macros::format_description};

use super::trail::{Deletion, Found};
use crate::{accounts::Caller, http::Peer};

/// The longest text of a client's that is kept of a header or a path.
const MAX_TEXT_BYTES: usize = 2048;

/// A request and its answer.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) time: String,
    pub(super) id: String,
    pub(super) from: Origin,
    pub(super) who: Option<Who>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authentication: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) claimed_access_key: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
    #[serde(flatten)]
    pub(super) found: Found,
    #[serde(flatten)]
    pub(super) parameters: Parameters,
    pub(super) status: Option<u16>,
    pub(super) bytes_in: Option<u64>,
    pub(super) bytes_out: u64,
    pub(super) duration_millis: u64,
    /// Whether all of the answer went out.
    pub(super) complete: bool,
}

/// Where a request comes from.
#[derive(Debug, Serialize)]
pub(super) struct Origin {
    pub(super) address: String,
    /// The proxy, where it is believed that it speaks for the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<String>,
}

/// Somebody whose signature was right.
#[derive(Debug, Serialize)]
pub(super) struct Who {
    pub(super) account: String,
    pub(super) arn: String,
    pub(super) access_key: String,
}

impl Who {
    pub(super) fn of(caller: &Caller, access_key: &str) -> Option<Self> {
        Some(Self {
            account: caller.account()?.id.to_string(),
            arn: caller.arn()?,
            access_key: access_key.to_owned(),
        })
    }
}

/// Of the query and the headers, what says what the request is about.
#[derive(Debug, Default, Serialize)]
pub(super) struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upload_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part_number: Option<String>,
}

/// Of a key among many.
#[derive(Debug, Serialize)]
pub(super) struct DeletedKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl From<Deletion<'_>> for DeletedKey {
    fn from(deletion: Deletion<'_>) -> Self {
        Self {
            key: deletion.key.to_owned(),
            version: deletion.version.map(clipped),
            error: deletion.error,
        }
    }
}

/// A connection that brought no request.
#[derive(Debug, Serialize)]
pub(super) struct Connection {
    time: String,
    from: Origin,
    status: Option<u16>,
    error: &'static str,
}

/// Why a connection brought no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its bytes are no HTTP.
    Malformed,
    /// The client's certificate is none that lets it in, or is missing.
    Certificate,
}

impl Connection {
    pub(super) fn refused(now_unix_millis: u64, peer: &Peer, refusal: Refusal) -> Self {
        let (status, error) = match refusal {
            Refusal::Malformed => (Some(400), "MalformedHttp"),
            Refusal::Certificate => (None, "CertificateRefused"),
        };
        Self {
            time: timestamp(now_unix_millis),
            from: Origin {
                address: peer.address.to_string(),
                proxy: None,
                tls: peer.tls.map(|tls| tls.protocol),
                user_agent: None,
            },
            status,
            error,
        }
    }
}

/// Lines that are not there.
#[derive(Debug, Serialize)]
pub(super) struct Lost {
    pub(super) time: String,
    pub(super) lost_lines: u64,
}

/// As much of a client's text as is kept.
pub(super) fn clipped(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    text[..end].to_owned()
}

/// `2026-11-29T07:16:42.123Z`.
pub(super) fn timestamp(unix_millis: u64) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let nanos = i128::from(unix_millis) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&format).unwrap_or_default()
}
