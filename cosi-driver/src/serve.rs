//! A driver that serves: COSI on its socket, and pages about itself over HTTP.

pub mod http;
pub mod stop;

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use tokio::net::TcpListener;

use self::{http::Pages, stop::Stop};
use crate::{
    controllers,
    grpc::{
        driver::Driver,
        server::{self, ServeError},
        v1alpha2::Revision,
    },
    metrics::Metrics,
    provision::Provisioner,
    socket::{self, SocketError},
};

/// What a driver is put together from.
#[derive(Debug)]
pub struct Parts {
    /// Who does what is asked.
    pub driver: Driver,
    /// What the driver's calls count in.
    pub metrics: Arc<Metrics>,
    /// What the controllers count in.
    pub controllers: Arc<controllers::Metrics>,
    /// Of the socket.
    pub socket: PathBuf,
    /// Of v1alpha2, where that is served.
    pub revision: Option<Revision>,
    /// Where pages are served, if they are.
    pub listen: Option<SocketAddr>,
    /// Written with the address of the pages.
    pub address_file: Option<PathBuf>,
}

/// Why a driver does not serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It has no socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// It does not serve on it.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Its pages are not served.
    #[error(transparent)]
    Http(#[from] io::Error),
}

/// Serves until `stop`.
///
/// # Errors
/// See [`RunError`]: the operator does what it says.
pub async fn run(parts: Parts, stop: Stop) -> Result<(), RunError> {
    let pages = open_pages(&parts).await?;
    let (listener, bound) = socket::bind(&parts.socket)?;
    tracing::info!(
        driver = %parts.driver.name,
        socket = %parts.socket.display(),
        v1alpha2 = ?parts.revision,
        "serving"
    );
    if let Some(listener) = pages {
        let pages = Arc::new(About {
            provisioner: parts.driver.provisioner.clone(),
            metrics: parts.metrics,
            controllers: parts.controllers,
        });
        tokio::spawn(http::serve(listener, pages, stop.clone().wait()));
    }
    let served = server::serve(listener, parts.driver, parts.revision, stop.clone().wait()).await;
    stop.now();
    drop(bound);
    Ok(served?)
}

async fn open_pages(parts: &Parts) -> io::Result<Option<TcpListener>> {
    let Some(address) = parts.listen else {
        return Ok(None);
    };
    let listener = http::listen(address).await?;
    if let Some(path) = &parts.address_file {
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("--address-file {}: {error}", path.display()),
            )
        };
        fs::write(path, format!("{}\n", listener.local_addr()?)).map_err(named)?;
    }
    Ok(Some(listener))
}

#[derive(Debug)]
struct About {
    provisioner: Provisioner,
    metrics: Arc<Metrics>,
    controllers: Arc<controllers::Metrics>,
}

#[async_trait]
impl Pages for About {
    async fn ready(&self) -> Result<(), String> {
        let checked = self.provisioner.check().await;
        checked.map(drop).map_err(|error| error.to_string())
    }

    fn metrics(&self) -> String {
        self.metrics.exposition() + &self.controllers.exposition()
    }
}
