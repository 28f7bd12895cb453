//! Whether upstream's controller or sidecar is at work in the cluster, told from the leases they hold.
//!
//! Both hold a Lease as long as they run and lose it when they stop, which a Deployment that is scaled to nothing, or whose pods don't start, does not tell.
//! In standalone mode the lease of Larder's own controllers is the very one that a sidecar of this driver would hold, so that the two can never work at once; upstream's controller,
//! which serves other drivers too and must not be kept out, is looked for before the start and every few seconds after it.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::Lease as LeaseObject, jiff::Timestamp};
use kube::{Api, Client};

use crate::controllers::{
    clock::{after, now},
    lease::{held_by, span},
};

/// The lease of upstream's controller.
pub(crate) const CONTROLLER_LEASE: &str = "leader-lock-cosi-controller-manager";
/// The Deployment of upstream's controller.
pub(crate) const CONTROLLER_DEPLOYMENT: &str = "container-object-storage-controller";
/// What identities of Larder's own processes begin with.
pub(crate) const OURS: &str = "larder-cosi_";
/// How far the clocks of two machines may be apart.
const SKEW: Duration = Duration::from_secs(30);

/// The lease that upstream's sidecar holds for a driver.
pub(crate) fn sidecar_lease(driver: &str) -> String {
    let plain: String = driver
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("{}-cosi", plain.to_ascii_lowercase())
}

/// The lease of Larder's own controllers that repair.
pub(crate) fn repair_lease(driver: &str) -> String {
    format!("{}-repair", sidecar_lease(driver))
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// Of upstream's controller.
    pub upstream_namespace: String,
    /// Of the driver, and of the sidecar that would be in its pod.
    pub namespace: String,
    /// The driver's name.
    pub driver: String,
}

/// Who is at work, by the leases that are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be at work beside any other"
)]
pub(crate) struct AtWork {
    /// Upstream's controller.
    pub(crate) controller: bool,
    /// Upstream's sidecar for the driver.
    pub(crate) sidecar: bool,
    /// Larder's own controllers, as those that do everything.
    pub(crate) standalone: bool,
    /// Larder's own controllers, as those that mend what upstream's leave behind.
    pub(crate) repair: bool,
}

/// Who is at work.
pub(crate) async fn who(client: &Client, places: &Places) -> kube::Result<AtWork> {
    let held = async |namespace: &str, name: &str| {
        let api: Api<LeaseObject> = Api::namespaced(client.clone(), namespace);
        let lease = api.get_opt(name).await?;
        Ok::<_, kube::Error>(lease.filter(|lease| is_held(lease, now())))
    };
    let controller = held(&places.upstream_namespace, CONTROLLER_LEASE).await?;
    let driver = held(&places.namespace, &sidecar_lease(&places.driver)).await?;
    let repair = held(&places.namespace, &repair_lease(&places.driver)).await?;
    let is_ours = |lease: &LeaseObject| held_by(lease).is_some_and(|it| it.starts_with(OURS));
    Ok(AtWork {
        controller: controller.is_some(),
        sidecar: driver.as_ref().is_some_and(|lease| !is_ours(lease)),
        standalone: driver.as_ref().is_some_and(is_ours),
        repair: repair.is_some(),
    })
}

/// Whether one of upstream's two is at work.
pub(crate) async fn at_work(client: &Client, places: &Places) -> kube::Result<bool> {
    let controller = (&places.upstream_namespace, CONTROLLER_LEASE.to_owned());
    let sidecar = (&places.namespace, sidecar_lease(&places.driver));
    for (namespace, name) in [controller, sidecar] {
        let api: Api<LeaseObject> = Api::namespaced(client.clone(), namespace);
        if let Some(lease) = api.get_opt(&name).await?
            && is_theirs(&lease, now())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_theirs(lease: &LeaseObject, now: Timestamp) -> bool {
    is_held(lease, now) && held_by(lease).is_some_and(|holder| !holder.starts_with(OURS))
}

fn is_held(lease: &LeaseObject, now: Timestamp) -> bool {
    let renewed = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.renew_time.as_ref());
    match (held_by(lease), renewed) {
        (Some(_), Some(renewed)) => after(renewed.0, span(lease) + SKEW) > now,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime,
    };

    use super::*;

    fn lease(holder: &str, renewed: Timestamp) -> LeaseObject {
        LeaseObject {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(150),
                renew_time: Some(MicroTime(renewed)),
                ..LeaseSpec::default()
            }),
            ..LeaseObject::default()
        }
    }

    #[test]
    fn the_sidecars_lease_is_named_as_upstream_names_it() {
        assert_eq!(sidecar_lease("cosi.larder.dev"), "cosi-larder-dev-cosi");
        assert_eq!(sidecar_lease("Store_1.example"), "store-1-example-cosi");
    }

    #[test]
    fn upstream_is_at_work_while_its_lease_has_not_run_out() {
        let start = Timestamp::UNIX_EPOCH;
        let theirs = lease("objectstorage-controller-abc", start);
        assert!(is_theirs(&theirs, after(start, Duration::from_secs(179))));
        assert!(!is_theirs(&theirs, after(start, Duration::from_secs(181))));
        assert!(!is_theirs(&lease("", start), start));
        assert!(!is_theirs(&LeaseObject::default(), start));
    }

    #[test]
    fn our_own_processes_are_not_upstreams() {
        let start = Timestamp::UNIX_EPOCH;
        assert!(!is_theirs(&lease("larder-cosi_pod-0_1f", start), start));
    }
}
