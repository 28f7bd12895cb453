//! Whether somebody makes claims true, and not two at once: who holds which lease, and whether that goes together.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};

use super::Check;
use crate::controllers::{AtWork, CONTROLLER_DEPLOYMENT, Places, who};

pub(super) async fn examine(client: &Client, places: &Places) -> Vec<Check> {
    let at_work = match who(client, places).await {
        Ok(at_work) => at_work,
        Err(error) => {
            return vec![Check::odd(
                format!("leases can't be read: {error}"),
                "run this as somebody who may get leases",
            )];
        }
    };
    let mut checks = vec![judge(at_work, places)];
    if !at_work.controller && is_installed(client, &places.upstream_namespace).await {
        checks.push(Check::odd(
            format!(
                "upstream's controller is installed (Deployment {}/{CONTROLLER_DEPLOYMENT}), and not at work",
                places.upstream_namespace
            ),
            "if it is to begin: --controllers auto goes over to repair then, which needs upstream's sidecar beside the driver; if not, delete it",
        ));
    }
    checks
}

/// Whoever may not look at Deployments is told nothing of them: leases say what counts.
async fn is_installed(client: &Client, namespace: &str) -> bool {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(CONTROLLER_DEPLOYMENT).await.ok().flatten();
    let replicas = found.map(|found| found.spec.replicas.unwrap_or(1));
    replicas.is_some_and(|replicas| replicas > 0)
}

fn judge(at_work: AtWork, places: &Places) -> Check {
    let Places {
        driver, namespace, ..
    } = places;
    let upstream = &places.upstream_namespace;
    match (at_work.controller, at_work.sidecar) {
        _ if at_work.standalone => beside_standalone(at_work, places),
        (true, true) if at_work.repair => Check::fine(
            "upstream's controller and sidecar are at work, and Larder's controllers repair",
        ),
        (true, true) => Check::odd(
            "upstream's controller and sidecar are at work, and nobody mends what they leave behind",
            "start the driver with --controllers auto or repair: standalone would wait for ever for the lease that the sidecar holds",
        ),
        (true, false) => {
            let found = format!(
                "upstream's controller (in {upstream}) is at work, and no sidecar of driver {driver} in {namespace}: claims get a Bucket object, and never a bucket"
            );
            let cure = "put upstream's sidecar beside the driver (the chart's cosi.sidecar.enabled) with --controllers auto or repair; or delete upstream's controller, if no other driver needs it, with --controllers auto or standalone; --namespace says where the driver is looked for";
            // Where nothing of Larder's is seen either, it may be the wrong namespace.
            if at_work.repair {
                Check::wrong(found, cure)
            } else {
                Check::odd(found, cure)
            }
        }
        (false, true) => Check::wrong(
            format!(
                "upstream's sidecar of driver {driver} is at work, and its controller (in {upstream}) is not: claims get no Bucket object"
            ),
            "install upstream's controller; or take the sidecar out of the driver's pod, with --controllers auto or standalone; --upstream-namespace says where the controller is looked for",
        ),
        (false, false) if at_work.repair => Check::wrong(
            "Larder's controllers only repair, and upstream's controller and sidecar, which are to do the rest, are not at work",
            "start the driver with --controllers auto or standalone, or install upstream's",
        ),
        (false, false) => Check::odd(
            format!("no controllers of driver {driver} are at work in {namespace}"),
            "see whether the driver runs, and not with --controllers off; --namespace says where it is looked for",
        ),
    }
}

fn beside_standalone(at_work: AtWork, places: &Places) -> Check {
    let upstream = &places.upstream_namespace;
    if at_work.controller {
        return Check::wrong(
            format!(
                "upstream's controller (in {upstream}) and Larder's, which do everything (standalone), are at work on the same claims"
            ),
            "start the driver with --controllers auto or repair, and upstream's sidecar beside it; or delete upstream's controller, if no other driver needs it",
        );
    }
    if at_work.repair {
        return Check::wrong(
            "two drivers of this name are at work, one with --controllers standalone and one with repair",
            "give both the same, best auto; two clusters need two names",
        );
    }
    Check::fine("Larder's controllers are at work and do everything (standalone)")
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn judged(who: &str) -> Check {
        let at_work = AtWork {
            controller: who.contains('C'),
            sidecar: who.contains('S'),
            standalone: who.contains('A'),
            repair: who.contains('R'),
        };
        let places = Places {
            upstream_namespace: "upstream".to_owned(),
            namespace: "larder".to_owned(),
            driver: "cosi.larder.dev".to_owned(),
        };
        judge(at_work, &places)
    }

    /// `C`ontroller and `S`idecar of upstream's, Larder's standalone (`A`lone) and `R`epair.
    #[test]
    fn each_mix_of_controllers_is_judged() {
        use Verdict::{Fine, Odd, Wrong};
        let all = [
            ("A", Fine, ""),
            ("CSR", Fine, ""),
            ("", Odd, "--namespace"),
            ("C", Odd, "cosi.sidecar.enabled"),
            ("CS", Odd, "--controllers auto or repair"),
            ("CA", Wrong, "--controllers auto or repair"),
            ("CAR", Wrong, "--controllers auto or repair"),
            ("CR", Wrong, "cosi.sidecar.enabled"),
            ("S", Wrong, "--controllers auto or standalone"),
            ("SR", Wrong, "--controllers auto or standalone"),
            ("R", Wrong, "--controllers auto or standalone"),
            ("AR", Wrong, "two names"),
        ];
        for (who, verdict, cure) in all {
            let check = judged(who);
            assert_eq!(check.verdict, verdict, "{who}: {check:?}");
            assert!(check.cure.contains(cure), "{who}: {check:?}");
            assert_eq!(check.cure.is_empty(), verdict == Fine, "{who}");
        }
    }
}
