//! Parameters of a `BucketAccessClass`.

use std::time::Duration;

use super::{
    reader::Reader,
    table::ACCESS_CLASS,
    values::{Cidr, cidrs, duration, duration_text, prefix},
};
use crate::provision::{AccessMode, Parameters, ProvisionError};

const LEAST_INTERVAL: Duration = Duration::from_hours(1);
const LEAST_OVERLAP: Duration = Duration::from_mins(1);
const DEFAULT_OVERLAP: Duration = Duration::from_hours(24);

/// What an access is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessParameters {
    /// What may be done, where the access does not say itself.
    pub mode: AccessMode,
    /// Only with objects whose keys begin so.
    pub prefix: Option<String>,
    /// Only from these networks; empty: from everywhere.
    pub source_cidrs: Vec<Cidr>,
    /// How often a new key is made.
    pub rotate_every: Option<Duration>,
    /// How long the old one counts besides, as it was given.
    pub rotate_overlap: Option<Duration>,
    /// What is in the Secret beside `BucketInfo`; in order, each once.
    pub secret_formats: Vec<SecretFormat>,
    /// Which address of the server is in the Secret.
    pub endpoint: EndpointKind,
}

/// Keys of a Secret as some consumer expects them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretFormat {
    /// The keys of COSI v1alpha2.
    Cosi,
    /// The variables of AWS's SDKs.
    Aws,
    /// `CloudNativePG`.
    Cnpg,
    /// Percona's operators.
    Percona,
    /// Zalando's operator, and WAL-G.
    Zalando,
    /// `rclone.conf`.
    Rclone,
    /// `.s3cfg`.
    S3cfg,
    /// `ClickHouse`.
    Clickhouse,
    /// Velero.
    Velero,
}

impl SecretFormat {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Cosi,
        Self::Aws,
        Self::Cnpg,
        Self::Percona,
        Self::Zalando,
        Self::Rclone,
        Self::S3cfg,
        Self::Clickhouse,
        Self::Velero,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosi => "cosi",
            Self::Aws => "aws",
            Self::Cnpg => "cnpg",
            Self::Percona => "percona",
            Self::Zalando => "zalando",
            Self::Rclone => "rclone",
            Self::S3cfg => "s3cfg",
            Self::Clickhouse => "clickhouse",
            Self::Velero => "velero",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = if text == "wal-g" { "zalando" } else { text };
        Self::ALL.into_iter().find(|format| format.name() == text)
    }
}

/// Which address of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointKind {
    /// That within the cluster.
    #[default]
    Internal,
    /// That from outside.
    External,
}

impl AccessMode {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ReadWrite,
        Self::ReadOnly,
        Self::WriteOnly,
        Self::AppendOnly,
        Self::Admin,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "ReadWrite",
            Self::ReadOnly => "ReadOnly",
            Self::WriteOnly => "WriteOnly",
            Self::AppendOnly => "AppendOnly",
            Self::Admin => "Admin",
        }
    }

    /// That of a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == text)
    }
}

impl AccessParameters {
    /// Reads the parameters of a class.
    ///
    /// # Errors
    /// [`ProvisionError::Invalid`] with what would be right.
    pub fn parse(parameters: &Parameters) -> Result<Self, ProvisionError> {
        let reader = Reader::new("BucketAccessClass", &ACCESS_CLASS, parameters)?;
        let default_formats = || vec![SecretFormat::Cosi, SecretFormat::Aws];
        let read = Self {
            mode: reader
                .read("accessMode", AccessMode::parse)?
                .unwrap_or_default(),
            prefix: reader.read("prefix", prefix)?,
            source_cidrs: reader.read("sourceCIDRs", cidrs)?.unwrap_or_default(),
            rotate_every: reader.read("rotateEvery", |text| at_least(text, LEAST_INTERVAL))?,
            rotate_overlap: reader.read("rotateOverlap", |text| at_least(text, LEAST_OVERLAP))?,
            secret_formats: reader
                .read("secretFormats", formats)?
                .unwrap_or_else(default_formats),
            endpoint: reader.read("endpoint", endpoint)?.unwrap_or_default(),
        };
        read.check(&reader)?;
        Ok(read)
    }

    fn check(&self, reader: &Reader<'_>) -> Result<(), ProvisionError> {
        if self.mode == AccessMode::Admin && self.prefix.is_some() {
            return Err(reader.refused(
                "accessMode Admin is for whole buckets: leave prefix out, or take ReadWrite",
            ));
        }
        match (self.rotate_every, self.rotate_overlap) {
            (Some(every), Some(overlap)) if overlap >= every => Err(reader.refused(&format!(
                "rotateOverlap has to be shorter than rotateEvery ({})",
                duration_text(every)
            ))),
            _ => Ok(()),
        }
    }

    /// How long the old key counts after a new one was made.
    pub fn overlap(&self) -> Duration {
        let bound = self.rotate_every.map_or(DEFAULT_OVERLAP, |every| every / 2);
        self.rotate_overlap
            .unwrap_or_else(|| bound.min(DEFAULT_OVERLAP))
    }

    /// The same for all ways to write the same thing, without defaults.
    pub fn canonical(&self) -> Parameters {
        let mut out = Parameters::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                out.insert(name.to_owned(), value);
            }
        };
        let mode = Some(self.mode).filter(|mode| *mode != AccessMode::default());
        put("accessMode", mode.map(|mode| mode.name().to_owned()));
        put("prefix", self.prefix.clone());
        put("sourceCIDRs", cidrs_text(&self.source_cidrs));
        put("rotateEvery", self.rotate_every.map(duration_text));
        put("rotateOverlap", self.rotate_overlap.map(duration_text));
        let is_default = self.secret_formats == [SecretFormat::Cosi, SecretFormat::Aws];
        let names: Vec<_> = self
            .secret_formats
            .iter()
            .map(|format| format.name())
            .collect();
        put("secretFormats", (!is_default).then(|| names.join(",")));
        let is_external = self.endpoint == EndpointKind::External;
        put("endpoint", is_external.then(|| "external".to_owned()));
        out
    }
}

/// `None` where there are none.
pub(crate) fn cidrs_text(cidrs: &[Cidr]) -> Option<String> {
    let texts: Vec<_> = cidrs.iter().map(Cidr::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

fn at_least(text: &str, least: Duration) -> Option<Duration> {
    duration(text).filter(|duration| *duration >= least)
}

fn formats(text: &str) -> Option<Vec<SecretFormat>> {
    let all = text.split(',').map(|part| SecretFormat::parse(part.trim()));
    let mut all: Vec<_> = all.collect::<Option<_>>()?;
    all.sort_unstable();
    all.dedup();
    Some(all)
}

fn endpoint(text: &str) -> Option<EndpointKind> {
    match text {
        "internal" => Some(EndpointKind::Internal),
        "external" => Some(EndpointKind::External),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
