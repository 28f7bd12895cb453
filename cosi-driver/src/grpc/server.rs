//! All services on one socket, with gRPC's health and reflection.

use std::{future::Future, pin::pin, time::Duration};

use tokio::{net::UnixListener, sync::oneshot, time::timeout};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    server::NamedService,
    transport::{Server, server::Router},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_reflection::server::Builder as Reflection;

use super::{
    driver::Driver,
    pb::{descriptors, r1, r2, r3, v1alpha1 as pb1, v1alpha2 as pb2},
    v1alpha1::V1Alpha1,
    v1alpha2::{R1, R2, R3, Revision, Shared},
};

/// Of a request: an access to many buckets is the largest.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// How long calls in progress may go on after the stop: less than the 30 s after which Kubernetes kills.
pub const STOP_GRACE: Duration = Duration::from_secs(20);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// gRPC's server does not go on.
    #[error("gRPC: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Descriptors that can't be read: the build is at fault.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves `driver` on a socket until `stop`, and then what is in progress for [`STOP_GRACE`]; v1alpha2 only in a revision that was asked for.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    listener: UnixListener,
    driver: Driver,
    revision: Option<Revision>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let router = Server::builder().add_service(health_service);
    let router = add_reflection(router, revision)?;
    let router = add_v1alpha1(router, &health, driver.clone()).await;
    let router = add_v1alpha2(router, &health, driver, revision).await;
    let (stopping, stopped) = oneshot::channel();
    let stop = async {
        stop.await;
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
        let _told = stopping.send(());
    };
    let incoming = UnixListenerStream::new(listener);
    let mut serving = pin!(router.serve_with_incoming_shutdown(incoming, stop));
    tokio::select! {
        served = &mut serving => return Ok(served?),
        Ok(()) = stopped => {}
    }
    if let Ok(served) = timeout(STOP_GRACE, serving).await {
        return Ok(served?);
    }
    tracing::warn!("calls in progress are given up");
    Ok(())
}

fn add_reflection(
    router: Router,
    revision: Option<Revision>,
) -> Result<Router, tonic_reflection::server::Error> {
    let builder = || {
        let builder = Reflection::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(descriptors::V1ALPHA1);
        match revision {
            None => builder,
            Some(it) => builder.register_encoded_file_descriptor_set(descriptors_of(it)),
        }
    };
    let router = router.add_service(builder().build_v1()?);
    Ok(router.add_service(builder().build_v1alpha()?))
}

fn descriptors_of(revision: Revision) -> &'static [u8] {
    match revision {
        Revision::R1 => descriptors::R1,
        Revision::R2 => descriptors::R2,
        Revision::R3 => descriptors::R3,
    }
}

async fn add_v1alpha1(router: Router, health: &HealthReporter, driver: Driver) -> Router {
    use pb1::{identity_server::IdentityServer, provisioner_server::ProvisionerServer};
    let service = V1Alpha1(driver);
    let identity = IdentityServer::new(service.clone());
    let provisioner = ProvisionerServer::new(service);
    healthy(health, &identity).await;
    healthy(health, &provisioner).await;
    router
        .add_service(identity.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(provisioner.max_decoding_message_size(MAX_MESSAGE_BYTES))
}

async fn add_v1alpha2(
    router: Router,
    health: &HealthReporter,
    driver: Driver,
    revision: Option<Revision>,
) -> Router {
    use pb2::identity_server::IdentityServer;
    let Some(revision) = revision else {
        return router;
    };
    let shared = Shared(driver);
    let identity = IdentityServer::new(shared.clone());
    healthy(health, &identity).await;
    let router = router.add_service(identity.max_decoding_message_size(MAX_MESSAGE_BYTES));
    match revision {
        Revision::R1 => {
            let provisioner = r1::provisioner_server::ProvisionerServer::new(R1(shared));
            healthy(health, &provisioner).await;
            router.add_service(provisioner.max_decoding_message_size(MAX_MESSAGE_BYTES))
        }
        Revision::R2 => {
            let provisioner = r2::provisioner_server::ProvisionerServer::new(R2(shared));
            healthy(health, &provisioner).await;
            router.add_service(provisioner.max_decoding_message_size(MAX_MESSAGE_BYTES))
        }
        Revision::R3 => {
            let provisioner = r3::provisioner_server::ProvisionerServer::new(R3(shared));
            healthy(health, &provisioner).await;
            router.add_service(provisioner.max_decoding_message_size(MAX_MESSAGE_BYTES))
        }
    }
}

async fn healthy<S: NamedService>(health: &HealthReporter, _service: &S) {
    health.set_serving::<S>().await;
}
