//! Which controllers run, and how: as flags and as values.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    cli::span,
    controllers::upstream::{self, Places},
};

/// Where upstream's installation puts its controller.
pub(crate) const UPSTREAM_NAMESPACE: &str = "container-object-storage-system";

/// Which controllers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// `standalone` where neither upstream's controller nor its sidecar for this driver is at work, `repair` beside them.
    #[default]
    Auto,
    /// Everything: nothing of upstream's is needed.
    Standalone,
    /// What upstream's controller and sidecar get wrong, orphans, rotation and the further keys of Secrets.
    Repair,
    /// None: only gRPC.
    Off,
}

/// Flags of the controllers.
#[derive(Args, Clone, Debug)]
pub struct ControllerFlags {
    /// Which controllers run.
    #[arg(
        long,
        env = "LARDER_COSI_CONTROLLERS",
        value_enum,
        default_value = "auto"
    )]
    pub controllers: Mode,
    /// The cluster; left out, that of the pod, or of KUBECONFIG.
    #[arg(long, env = "LARDER_COSI_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the Lease is; left out, the pod's namespace.
    #[arg(long, env = "LARDER_COSI_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// Where upstream's controller would be.
    #[arg(
        long,
        env = "LARDER_COSI_UPSTREAM_NAMESPACE",
        default_value = UPSTREAM_NAMESPACE,
        value_name = "NAME"
    )]
    pub upstream_namespace: String,
    /// How many objects of a kind are worked on at once.
    #[arg(long, env = "LARDER_COSI_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// How often each object is compared with the store without anything having changed.
    #[arg(long, env = "LARDER_COSI_RESYNC", default_value = "10m", value_parser = span::parse, value_name = "TIME")]
    pub resync: Duration,
    /// How long an account has to be without its `BucketAccess` before it is disabled.
    #[arg(long, env = "LARDER_COSI_ORPHAN_GRACE", default_value = "15m", value_parser = span::parse, value_name = "TIME")]
    pub orphan_grace: Duration,
    /// How long it stays disabled before it is deleted.
    #[arg(long, env = "LARDER_COSI_ORPHAN_DELETE_AFTER", default_value = "7d", value_parser = span::parse, value_name = "TIME")]
    pub orphan_delete_after: Duration,
    /// Which percentage of all accounts may be orphans: above it nothing is disabled, as the list is doubted.
    #[arg(long, env = "LARDER_COSI_ORPHAN_LIMIT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=100), value_name = "PERCENT")]
    pub orphan_limit: u8,
}

/// How the controllers run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which ones.
    pub mode: Mode,
    /// Whose objects.
    pub driver: String,
    /// Where the Lease is.
    pub namespace: String,
    /// Where upstream's controller would be.
    pub upstream_namespace: String,
    /// What this process is called in the Lease; has to differ from that of every other one.
    pub identity: String,
    /// How many objects of a kind are worked on at once.
    pub concurrency: u16,
    /// How often each object is compared with the store.
    pub resync: Duration,
    /// How long a Lease is held without renewal.
    pub lease_duration: Duration,
    /// How often upstream's halves are looked for.
    pub detect_every: Duration,
    /// How long upstream's sidecar has for the deletion of an access before it counts as stuck.
    pub stuck_after: Duration,
    /// What is done about orphans.
    pub orphans: OrphanSettings,
}

/// What is done about accounts without an access.
#[derive(Clone, Debug)]
pub struct OrphanSettings {
    /// How often they are looked for.
    pub every: Duration,
    /// Without an access for so long: disabled.
    pub grace: Duration,
    /// Disabled for so long: deleted.
    pub delete_after: Duration,
    /// Above this percentage of all accounts nothing is disabled.
    pub limit_percent: u8,
}

impl Settings {
    /// Where others that may be at work are looked for.
    pub(crate) fn places(&self) -> Places {
        Places {
            upstream_namespace: self.upstream_namespace.clone(),
            namespace: self.namespace.clone(),
            driver: self.driver.clone(),
        }
    }
}

impl ControllerFlags {
    /// The settings of a driver of this name.
    pub fn settings(&self, driver: &str) -> Settings {
        Settings {
            mode: self.controllers,
            driver: driver.to_owned(),
            namespace: self.namespace.clone().unwrap_or_else(own_namespace),
            upstream_namespace: self.upstream_namespace.clone(),
            identity: identity(),
            concurrency: self.concurrency,
            resync: self.resync,
            lease_duration: Duration::from_secs(15),
            detect_every: Duration::from_secs(10),
            stuck_after: Duration::from_mins(1),
            orphans: OrphanSettings {
                every: self.orphan_grace.min(Duration::from_mins(5)),
                grace: self.orphan_grace,
                delete_after: self.orphan_delete_after,
                limit_percent: self.orphan_limit,
            },
        }
    }
}

/// The pod's namespace, found as upstream's sidecar finds it: the two share a Lease.
pub(crate) fn own_namespace() -> String {
    const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
    let mounted = || std::fs::read_to_string(MOUNTED).ok();
    std::env::var("POD_NAMESPACE")
        .ok()
        .or_else(mounted)
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "default".to_owned())
}

/// Another one for every process: a pod's name does not tell one start from the next.
fn identity() -> String {
    let host = std::env::var("POD_NAME")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "host".to_owned());
    let start = k8s_openapi::jiff::Timestamp::now().as_nanosecond();
    let process = std::process::id();
    format!("{}{host}_{process:x}_{start:x}", upstream::OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_are_told_apart() {
        assert_ne!(identity(), identity());
        assert!(identity().starts_with(upstream::OURS));
    }
}
