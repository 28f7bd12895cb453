//! When to stop: SIGTERM or SIGINT, or when a part of the driver fails.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// Tells all parts of the process when to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    /// One that a signal gives.
    ///
    /// # Errors
    /// The system has no signals for us.
    pub fn on_signal() -> std::io::Result<Self> {
        let stop = Self::default();
        let term = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(heed(stop.clone(), term, interrupt));
        Ok(stop)
    }

    /// Has all parts stop.
    pub fn now(&self) {
        self.0.send_replace(true);
    }

    /// Ends when it is time to.
    pub async fn wait(self) {
        // The sender is in `self`: there is always one.
        drop(self.0.subscribe().wait_for(|it| *it).await);
    }
}

async fn heed(stop: Stop, mut term: Signal, mut interrupt: Signal) {
    let name = tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "stopping");
    stop.now();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_are_told_also_those_who_come_late() {
        let stop = Stop::default();
        let early = tokio::spawn(stop.clone().wait());
        stop.now();
        early.await.unwrap();
        stop.wait().await;
    }
}
