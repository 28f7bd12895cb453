//! `larder-cosi serve`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use super::{
    Failure, Outcome,
    connection::{Connection, ConnectionArgs},
    controllers,
    logs::{self, LogArgs},
    span,
};
use crate::{
    backend::{CredentialSource, ServerBackend, ServerSettings},
    controllers::ControllerFlags,
    grpc::{calls::Calls, driver, v1alpha2::Revision},
    metrics::Metrics,
    provision::{OidcProvider, ProvisionSettings, Provisioner},
    serve::{self, Parts, stop::Stop},
    socket,
};

/// Serve COSI on a Unix socket.
///
/// The socket is for the sidecar in the same pod: whoever may open it may do everything, so it has mode 0660, and nothing else is made in its directory. It is
/// replaced where nobody serves it any more, and removed at the end. SIGTERM lets calls in progress finish.
///
/// Who the driver is to Larder is in LARDER_COSI_ACCESS_KEY and LARDER_COSI_SECRET_KEY, or in files that the same names with _FILE name; these are read again
/// when Larder refuses what was in them.
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the help of the command line is plain text"
)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The driver's name, as classes write it. Changing it leaves everything behind that was made under the old one.
    #[arg(
        long,
        env = "LARDER_COSI_DRIVER_NAME",
        value_name = "NAME",
        default_value = "cosi.larder.dev"
    )]
    driver_name: String,
    /// The socket: unix:///directory/name.sock.
    #[arg(long, env = "COSI_ENDPOINT", value_name = "ENDPOINT", default_value = socket::DEFAULT_ENDPOINT)]
    cosi_endpoint: String,
    /// Serve the unreleased v1alpha2 as well, in this revision: r1 (March 2026), r2 (September 2026) or r3 (the enhancement proposal of autumn 2026).
    #[arg(
        long,
        env = "LARDER_COSI_V1ALPHA2_REVISION",
        value_enum,
        hide_possible_values = true,
        value_name = "REVISION"
    )]
    v1alpha2_revision: Option<Revision>,
    /// How long a call may take; one that takes longer goes on, and is answered UNAVAILABLE.
    #[arg(long, env = "LARDER_COSI_CALL_TIMEOUT", value_name = "TIME", default_value = "45s", value_parser = span::parse)]
    call_timeout: Duration,
    /// Serve /metrics, /healthz and /readyz over HTTP here, such as 0.0.0.0:8080 [default: nowhere].
    #[arg(long, env = "LARDER_COSI_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Write the address of --listen to this file once it is served.
    #[arg(
        long,
        env = "LARDER_COSI_ADDRESS_FILE",
        value_name = "FILE",
        requires = "listen"
    )]
    address_file: Option<PathBuf>,
    /// The OpenID provider of the cluster's service accounts, as Larder knows it: for access without keys.
    #[arg(long, env = "LARDER_COSI_OIDC_PROVIDER", value_name = "URL")]
    oidc_provider: Option<String>,
    /// What tokens of service accounts must be for.
    #[arg(
        long,
        env = "LARDER_COSI_OIDC_AUDIENCE",
        value_name = "AUDIENCE",
        default_value = "sts.amazonaws.com"
    )]
    oidc_audience: String,
    #[command(flatten)]
    controllers: ControllerFlags,
    #[command(flatten)]
    logs: LogArgs,
}

pub(super) fn run(args: &ServeArgs) -> Outcome {
    driver::check_name(&args.driver_name)?;
    let socket = socket::path_of(&args.cosi_endpoint)?;
    let connection = args.connection.resolve()?;
    let backend = backend(&connection)?;
    logs::start(&args.logs)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let metrics = Arc::new(Metrics::default());
        let stop = Stop::on_signal()?;
        let provisioner = Provisioner::new(Arc::new(backend), args.settings(&connection));
        let (flags, driver) = (&args.controllers, &args.driver_name);
        let controllers = controllers::start(flags, driver, &provisioner, stop.clone()).await?;
        let parts = Parts {
            driver: driver::Driver {
                name: args.driver_name.as_str().into(),
                provisioner,
                calls: Calls::new(args.call_timeout, Arc::clone(&metrics)),
            },
            metrics,
            controllers: Arc::clone(&controllers.metrics),
            socket,
            revision: args.v1alpha2_revision,
            listen: args.listen,
            address_file: args.address_file.clone(),
        };
        let served = serve::run(parts, stop).await;
        controllers.ended().await;
        Ok(served?)
    })
}

impl ServeArgs {
    fn settings(&self, connection: &Connection) -> ProvisionSettings {
        let oidc = self.oidc_provider.clone().map(|url| OidcProvider {
            url,
            audience: self.oidc_audience.clone(),
        });
        ProvisionSettings {
            driver: self.driver_name.clone(),
            endpoint: connection.endpoint.clone(),
            external_endpoint: connection.external_endpoint.clone(),
            region: connection.region.clone(),
            ca: connection.ca.clone(),
            oidc,
            ..ProvisionSettings::default()
        }
    }
}

fn backend(connection: &Connection) -> Result<ServerBackend, Failure> {
    Ok(ServerBackend::new(ServerSettings {
        endpoint: connection.endpoint.clone(),
        region: connection.region.clone(),
        ca_file: connection.ca_file.clone(),
        credentials: CredentialSource::of_environment(|name| std::env::var(name).ok())?,
    })?)
}
