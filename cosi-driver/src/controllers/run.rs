//! Which controllers run, here or elsewhere, and until when.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use kube::Client;
use parking_lot::Mutex;
use tokio::{select, time::timeout};

use crate::{
    controllers::{
        context::Context,
        lease::{Lease, Terms},
        metrics::{LEADER, Metrics},
        orphans,
        settings::{Mode, Settings},
        upstream::{self, repair_lease, sidecar_lease},
        watch,
    },
    pause::pause,
    provision::Provisioner,
};

/// How long a lease may take to be released when the process stops.
const RELEASE: Duration = Duration::from_secs(3);

/// Runs the controllers until `stop`: those of the settings' mode, while this process holds the lease.
///
/// # Cancel safety
///
/// May be dropped at any point; the lease runs out then instead of being released.
pub async fn run(
    client: Client,
    provisioner: Arc<Provisioner>,
    settings: Settings,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send,
) {
    let office = Office {
        client,
        provisioner,
        settings,
        metrics,
        held: Mutex::new(None),
    };
    {
        let (stop, work) = (pin!(stop), pin!(office.supervise()));
        select! { () = stop => {}, () = work => {} }
    }
    // The controllers went with the block, so that nothing is done any more when the next one may begin.
    office.vacate().await;
}

/// What it takes to run controllers.
struct Office {
    client: Client,
    provisioner: Arc<Provisioner>,
    settings: Settings,
    metrics: Arc<Metrics>,
    /// The lease that is sought or held.
    held: Mutex<Option<Terms>>,
}

impl Office {
    /// Runs what is right for as long as it is.
    async fn supervise(&self) {
        loop {
            let mode = self.mode().await;
            if mode == Mode::Off {
                return std::future::pending().await;
            }
            select! {
                () = self.lead(mode) => tracing::warn!("the controllers stand still: the lease is lost"),
                () = self.changed(mode) => tracing::info!("upstream's controllers came or went"),
            }
            self.vacate().await;
        }
    }

    /// Waits for the lease, then runs the controllers until it is lost.
    async fn lead(&self, mode: Mode) {
        let terms = self.terms(mode);
        *self.held.lock() = Some(terms.clone());
        let mut lease = Lease::new(self.client.clone(), terms);
        lease.acquire().await;
        // Whoever waited for long may find things otherwise than when it began to.
        if self.settings.mode == Mode::Auto && self.mode().await != mode {
            return;
        }
        tracing::info!(?mode, "the controllers run here");
        self.metrics.set(LEADER, 1);
        select! { () = lease.keep() => {}, () = self.work(mode) => {} }
    }

    async fn work(&self, mode: Mode) {
        let ctx = Arc::new(Context::new(
            self.client.clone(),
            Arc::clone(&self.provisioner),
            self.settings.clone(),
            Arc::clone(&self.metrics),
        ));
        let orphans = orphans::run(Arc::clone(&ctx));
        if mode == Mode::Standalone {
            tokio::join!(Box::pin(watch::standalone(ctx)), orphans);
        } else {
            tokio::join!(Box::pin(watch::repair(ctx)), orphans);
        }
    }

    /// Lets the next one begin.
    async fn vacate(&self) {
        self.metrics.set(LEADER, 0);
        let terms = self.held.lock().take();
        if let Some(terms) = terms {
            let mut lease = Lease::new(self.client.clone(), terms);
            drop(timeout(RELEASE, lease.release()).await);
        }
    }

    fn terms(&self, mode: Mode) -> Terms {
        let driver = &self.settings.driver;
        let name = match mode {
            Mode::Standalone => sidecar_lease(driver),
            _ => repair_lease(driver),
        };
        Terms {
            name,
            namespace: self.settings.namespace.clone(),
            identity: self.settings.identity.clone(),
            duration: self.settings.lease_duration,
        }
    }

    /// The mode that is right now. Where that can't be told nothing runs: two controllers at once are worse than none.
    async fn mode(&self) -> Mode {
        if self.settings.mode != Mode::Auto {
            return self.settings.mode;
        }
        loop {
            match self.detected().await {
                Ok(mode) => return mode,
                Err(error) => {
                    tracing::warn!(%error, "whether upstream's controllers are at work can't be told");
                }
            }
            pause(self.settings.detect_every).await;
        }
    }

    async fn detected(&self) -> kube::Result<Mode> {
        let beside = upstream::at_work(&self.client, &self.settings.places()).await?;
        Ok(if beside {
            Mode::Repair
        } else {
            Mode::Standalone
        })
    }

    /// Ends once another mode is right.
    async fn changed(&self, mode: Mode) {
        if self.settings.mode != Mode::Auto {
            return std::future::pending().await;
        }
        loop {
            pause(self.settings.detect_every).await;
            match self.detected().await {
                Ok(now) if now != mode => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "upstream's leases can't be read"),
            }
        }
    }
}
