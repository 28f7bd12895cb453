//! The driver is killed, each time a little later after a call was made, and asked again.

use std::{future::Future, time::Duration};

use super::{Checked, World, access::same};
use crate::{
    pause::pause,
    sanity::report::{NotOk, failed, skipped},
};

/// By how much later it is killed each time.
const STEP: Duration = Duration::from_millis(4);

pub(super) async fn create(world: &World) -> Checked {
    for number in 0..world.args.crashes {
        let name = world.bucket_name();
        let parameters = world.args.parameters();
        let _lost = crash(world, number, world.driver.create(&name, &parameters)).await?;
        let first = world.create(&name).await?;
        let again = world.create(&name).await?;
        if first != again {
            return Err(failed(format!("bucket_id {first}, then {again}")));
        }
    }
    Ok(())
}

pub(super) async fn grant(world: &World) -> Checked {
    for number in 0..world.args.crashes {
        let bucket = world.bucket().await?;
        let name = world.account_name();
        let access = world.access(&bucket, &name);
        let answered = crash(world, number, world.driver.grant(&access)).await?;
        let first = world.grant(&bucket, &name).await?;
        if let Ok(before) = answered {
            same(&crate::sanity::world::as_secret(&before)?, &first)?;
        }
        same(&first, &world.grant(&bucket, &name).await?)?;
    }
    Ok(())
}

pub(super) async fn revoke(world: &World) -> Checked {
    for number in 0..world.args.crashes {
        let bucket = world.bucket().await?;
        let granted = world.grant(&bucket, &world.account_name()).await?;
        let account = granted.account.as_str();
        let _lost = crash(world, number, world.driver.revoke(&bucket, account)).await?;
        world.revoke(&bucket, account).await?;
        let parameters = world.args.parameters();
        let _lost = crash(world, number, world.driver.delete(&bucket, &parameters)).await?;
        world.delete(&bucket).await?;
    }
    Ok(())
}

/// Kills the driver while it works on `call`, and starts it again. What was answered, by the connection if it broke.
async fn crash<T>(world: &World, number: u32, call: impl Future<Output = T>) -> Result<T, NotOk> {
    let Some(command) = &world.args.crash_command else {
        return Err(skipped("needs --crash-command"));
    };
    let mut call = std::pin::pin!(call);
    let early = tokio::select! {
        answered = &mut call => Some(answered),
        () = pause(STEP * number) => None,
    };
    let (crashed, answered) = if let Some(answered) = early {
        (world.shell(command).await, answered)
    } else {
        tokio::join!(world.shell(command), call)
    };
    crashed.map(|()| answered)
}
