//! A Kubernetes API server in a process, for tests of controllers and of what installs them: no etcd, no nodes, nothing on disk.
//!
//! It does what clients see of the real one: resource versions, watches with bookmarks and 410, conflicts, status as a resource of its own, finalizers, owners,
//! server-side apply with owners of fields, custom resources with their schemas, RBAC, tokens of service accounts. What isn't there: admission, quotas, protobuf,
//! conversion between versions, printed tables, and everything that needs nodes. The README lists it.

mod api;
mod apply;
mod collect;
mod cosi;
mod crds;
mod discovery;
mod failure;
mod faults;
mod fields;
mod json;
mod patch;
mod questions;
mod rbac;
mod real;
mod request;
mod resources;
mod schema;
mod selectors;
mod server;
mod shape;
mod state;
mod tokens;
mod views;
mod watching;
mod write;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use serde_json::Value;
use tokio::task::AbortHandle;

pub use crate::real::{ApiServer, RealKube};
use crate::{api::Api, tokens::Signer};

/// How a server starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 for any that is free.
    pub listen: SocketAddr,
    /// Whether roles decide what may be done. Requests without credentials may always do everything.
    pub rbac: bool,
    /// Whether COSI's v1alpha1 kinds are there.
    pub cosi: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            rbac: false,
            cosi: true,
        }
    }
}

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub struct FakeKube {
    api: Arc<Api>,
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for FakeKube {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeKube {
    /// Starts a server in this process.
    ///
    /// # Errors
    /// Where the address can't be had.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (listener, address) = server::bind(options.listen).await?;
        let signer = Signer::new(format!("http://{address}")).map_err(io::Error::other)?;
        let api = Arc::new(Api::new(signer));
        cosi::prepare(&mut api.state.lock(), options.cosi);
        api.enforce.store(options.rbac, Ordering::Relaxed);
        let task = tokio::spawn(server::serve(listener, Arc::clone(&api))).abort_handle();
        Ok(Self { api, address, task })
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a client of this server's administrator is configured with.
    pub fn config(&self) -> kube::Config {
        let mut config = kube::Config::new(http::Uri::default());
        config.cluster_url = self.url().parse().unwrap_or_default();
        "default".clone_into(&mut config.default_namespace);
        config
    }

    /// A client who may do everything.
    ///
    /// # Errors
    /// Where there is no such client.
    pub fn client(&self) -> kube::Result<kube::Client> {
        kube::Client::try_from(self.config())
    }

    /// A client as whom roles are checked: `system:serviceaccount:NAMESPACE:NAME` or any other user.
    ///
    /// # Errors
    /// Where there is no such client.
    pub fn client_as(&self, user: &str) -> kube::Result<kube::Client> {
        let mut config = self.config();
        config.auth_info.impersonate = Some(user.to_owned());
        kube::Client::try_from(config)
    }

    /// Writes a kubeconfig for its administrator.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write_kubeconfig(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, kubeconfig(&self.url()))
    }

    /// Lets roles decide from now on, or not any more.
    pub fn enforce_rbac(&self, enforce: bool) {
        self.api.enforce.store(enforce, Ordering::Relaxed);
    }

    /// Everything that was asked: a list of user, verb, group, resource, namespace, and how often it was allowed and denied.
    pub fn asked(&self) -> Value {
        self.api.record.lock().to_json()
    }

    /// Forgets what was asked.
    pub fn forget_asked(&self) {
        self.api.record.lock().clear();
    }

    /// Forgets past changes: watches and lists that ask for an older version get 410.
    pub fn compact(&self) {
        self.api.compact();
    }

    /// Ends all watches, as a server does that restarts.
    pub fn disconnect_watches(&self) {
        self.api.faults.disconnect();
    }

    /// Fails the next `times` requests of a method (empty: any) whose path has `path` in it.
    pub fn fail_next(&self, method: &str, path: &str, code: u16, times: u64) {
        self.api.faults.fail(method, path, code, times);
    }
}

fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: fake, cluster: {{server: {url:?}}}}}]\nusers: [{{name: admin, user: {{}}}}]\n\
         contexts: [{{name: fake, context: {{cluster: fake, user: admin, namespace: default}}}}]\ncurrent-context: fake\n"
    )
}
