//! Who the driver is.

use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Checked, World};
use crate::{
    grpc::driver::check_name,
    sanity::{
        report::{failed, skipped},
        world::{brief, refused},
    },
};

pub(super) async fn name(world: &World) -> Checked {
    let name = world
        .driver
        .name()
        .await
        .map_err(refused("DriverGetInfo"))?;
    check_name(&name).map_err(failed)
}

pub(super) async fn stable(world: &World) -> Checked {
    let first = world
        .driver
        .name()
        .await
        .map_err(refused("DriverGetInfo"))?;
    for _ in 0..3 {
        let again = world.driver.anew().name().await;
        let again = again.map_err(refused("DriverGetInfo"))?;
        if again != first {
            return Err(failed(format!("{first}, then {again}")));
        }
    }
    Ok(())
}

pub(super) async fn health(world: &World) -> Checked {
    let mut client = HealthClient::new(world.driver.channel());
    let request = HealthCheckRequest::default();
    match client.check(request).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
        Ok(answer) => Err(failed(answer.get_ref().status().as_str_name())),
        Err(status) if status.code() == Code::Unimplemented => {
            Err(skipped("the driver has no health service"))
        }
        Err(status) => Err(failed(brief(&status))),
    }
}
