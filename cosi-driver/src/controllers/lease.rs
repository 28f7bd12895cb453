//! Who runs the controllers, where several processes could: whoever holds a Lease.
//!
//! As in client-go, clocks of different machines are not compared: a lease has run out when it has not changed for its duration, by the clock of whoever looks.
//! A holder gives up after two thirds of the duration without a renewal, so that it has stopped before anybody else begins.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease as LeaseObject, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{controllers::clock::now, kube::MANAGER, pause::pause};

/// What a lease is called, and for how long it is held without renewal.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Of this process: another one of the same pod has another.
    pub(crate) identity: String,
    pub(crate) duration: Duration,
}

/// A lease that is sought, or held.
pub(crate) struct Lease {
    api: Api<LeaseObject>,
    terms: Terms,
    /// What it looked like, and since when.
    seen: Option<(Option<String>, Instant)>,
}

impl Lease {
    pub(crate) fn new(client: Client, terms: Terms) -> Self {
        Self {
            api: Api::namespaced(client, &terms.namespace),
            terms,
            seen: None,
        }
    }

    /// Waits until this process holds it.
    pub(crate) async fn acquire(&mut self) {
        loop {
            match timeout(self.terms.duration, self.seek()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the lease can't be had"),
                Err(_) => tracing::warn!("the API server does not answer about the lease"),
            }
            pause(self.pace()).await;
        }
    }

    /// Renews it, and ends once it is lost. Nothing may be done for the holder's sake after that.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the lease is still held until it runs out or is released.
    pub(crate) async fn keep(&mut self) {
        let grace = self.terms.duration * 2 / 3;
        let mut last = Instant::now();
        loop {
            pause(self.pace()).await;
            let sent = Instant::now();
            match timeout_at(last + grace, self.seek()).await {
                Ok(Ok(true)) => last = sent,
                Ok(Ok(false)) => return tracing::warn!("another process holds the lease"),
                Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
                Err(_) => {}
            }
            if last.elapsed() >= grace {
                return tracing::warn!("the lease could not be renewed in time");
            }
        }
    }

    /// Lets the next one have it at once.
    pub(crate) async fn release(&mut self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.terms.name).await else {
            return;
        };
        if held_by(&lease) != Some(&self.terms.identity) {
            return;
        }
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        if let Err(error) = self.replace(&lease).await {
            tracing::info!(%error, "the lease was not released: it runs out");
        }
    }

    fn pace(&self) -> Duration {
        self.terms.duration / 5
    }

    /// Takes or renews the lease where that is right; whether this process holds it now.
    async fn seek(&mut self) -> kube::Result<bool> {
        let Some(lease) = self.api.get_opt(&self.terms.name).await? else {
            return self.create().await;
        };
        if !self.may_take(&lease) {
            return Ok(false);
        }
        let mut wanted = lease;
        self.write(&mut wanted);
        unless_conflict(self.replace(&wanted).await)
    }

    async fn create(&self) -> kube::Result<bool> {
        let mut lease = LeaseObject {
            metadata: ObjectMeta {
                name: Some(self.terms.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        };
        self.write(&mut lease);
        unless_conflict(self.api.create(&PostParams::default(), &lease).await)
    }

    async fn replace(&self, lease: &LeaseObject) -> kube::Result<LeaseObject> {
        let how = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.api.replace(&self.terms.name, &how, lease).await
    }

    fn may_take(&mut self, lease: &LeaseObject) -> bool {
        let holder = held_by(lease);
        if holder.is_none() || holder == Some(&self.terms.identity) {
            return true;
        }
        let version = lease.resource_version();
        match &self.seen {
            Some((before, since)) if *before == version => since.elapsed() >= span(lease),
            _ => {
                self.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    fn write(&self, lease: &mut LeaseObject) {
        let time = MicroTime(now());
        let taken = held_by(lease) != Some(&self.terms.identity);
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if taken {
            spec.acquire_time = Some(time.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count + 1));
        }
        spec.holder_identity = Some(self.terms.identity.clone());
        spec.lease_duration_seconds = i32::try_from(self.terms.duration.as_secs().max(1)).ok();
        spec.renew_time = Some(time);
    }
}

/// Who holds a lease, by its own word.
pub(crate) fn held_by(lease: &LeaseObject) -> Option<&String> {
    let holder = lease.spec.as_ref()?.holder_identity.as_ref();
    holder.filter(|holder| !holder.is_empty())
}

/// For how long a lease is held without renewal, by its own word.
pub(crate) fn span(lease: &LeaseObject) -> Duration {
    let seconds = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

fn unless_conflict(answer: kube::Result<LeaseObject>) -> kube::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
