//! What holds for everything that was answered.

use std::fs;

use tonic::{Code, Status};

use super::{Checked, World};
use crate::sanity::{
    report::{failed, skipped},
    world::{brief, expect_code},
};

/// What a sidecar repeats. The sidecar of v1alpha2 takes the others for final, and the object stays as it is.
const PASSING: [Code; 7] = [
    Code::Unavailable,
    Code::Aborted,
    Code::DeadlineExceeded,
    Code::Internal,
    Code::Unknown,
    Code::ResourceExhausted,
    Code::Cancelled,
];

pub(super) async fn transient_faults(world: &World) -> Checked {
    let (Some(break_it), Some(mend)) = (&world.args.break_command, &world.args.mend_command) else {
        return Err(skipped("needs --break-command and --mend-command"));
    };
    let (bucket, name, account) = (
        world.bucket().await?,
        world.bucket_name(),
        world.account_name(),
    );
    let granted = world.grant(&bucket, &world.account_name()).await?;
    world.shell(break_it).await?;
    let driver = &world.driver;
    let parameters = world.args.parameters();
    let while_broken = [
        ("create", driver.create(&name, &parameters).await.map(drop)),
        (
            "grant",
            driver
                .grant(&world.access(&bucket, &account))
                .await
                .map(drop),
        ),
        ("revoke", driver.revoke(&bucket, &granted.account).await),
        ("delete", driver.delete(&bucket, &parameters).await),
    ];
    world.shell(mend).await?;
    for (what, answer) in while_broken {
        expect_code(&format!("{what} without storage"), answer, &PASSING)?;
    }
    world.create(&name).await?;
    world.grant(&bucket, &account).await?;
    world.revoke(&bucket, &granted.account).await
}

pub(super) async fn errors_human(world: &World) -> Checked {
    each_refusal(world, |status| {
        if status.message().trim().is_empty() {
            return Some("has no message".to_owned());
        }
        (!status.details().is_empty()).then(|| "has details".to_owned())
    })
}

pub(super) async fn errors_proper(world: &World) -> Checked {
    each_refusal(world, |status| {
        let is_proper = !matches!(status.code(), Code::Unknown | Code::Internal);
        (!is_proper).then(|| "is no answer to what was asked".to_owned())
    })
}

pub(super) async fn secrets_in_errors(world: &World) -> Checked {
    let secrets = world.driver.secrets();
    each_refusal(world, |status| {
        let has = |secret: &String| status.message().contains(secret.as_str());
        secrets.iter().any(has).then(|| "holds a secret".to_owned())
    })
}

pub(super) async fn secrets_in_logs(world: &World) -> Checked {
    if world.args.log_file.is_empty() {
        return Err(skipped("needs --log-file"));
    }
    let secrets = world.driver.secrets();
    if secrets.is_empty() {
        return Err(skipped("nothing was granted"));
    }
    for path in &world.args.log_file {
        let log = fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
        let text = String::from_utf8_lossy(&log);
        if text.is_empty() {
            return Err(failed(format!("{} is empty", path.display())));
        }
        let count = secrets
            .iter()
            .filter(|it| text.contains(it.as_str()))
            .count();
        if count > 0 {
            return Err(failed(format!("{} holds {count} secrets", path.display())));
        }
    }
    Ok(())
}

fn each_refusal(world: &World, fault: impl Fn(&Status) -> Option<String>) -> Checked {
    let refusals = world.driver.refusals();
    if refusals.is_empty() {
        return Err(skipped("nothing was refused"));
    }
    for (method, status) in &refusals {
        if let Some(fault) = fault(status) {
            return Err(failed(format!("{method}: {} {fault}", brief(status))));
        }
    }
    Ok(())
}
