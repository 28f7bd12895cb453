//! What starts the controllers of `larder-cosi serve`.

use std::{path::Path, sync::Arc, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{task::JoinHandle, time::timeout};

use super::Failure;
use crate::{
    controllers::{ControllerFlags, Metrics, Mode, run},
    provision::Provisioner,
    serve::stop::Stop,
};

/// How long the controllers may take to let go of their lease.
const PATIENCE: Duration = Duration::from_secs(5);

/// Controllers that run, or none.
pub(super) struct Controllers {
    /// What they count in.
    pub(super) metrics: Arc<Metrics>,
    task: Option<JoinHandle<()>>,
}

impl Controllers {
    /// Waits until they have stopped, which they do at the `stop` that they were started with.
    pub(super) async fn ended(self) {
        if let Some(task) = self.task {
            drop(timeout(PATIENCE, task).await);
        }
    }
}

/// Starts what the flags say, until `stop`.
///
/// # Errors
/// The cluster that they name can't be found.
pub(super) async fn start(
    flags: &ControllerFlags,
    driver: &str,
    provisioner: &Provisioner,
    stop: Stop,
) -> Result<Controllers, Failure> {
    let metrics = Arc::new(Metrics::default());
    let Some(client) = client(flags).await? else {
        return Ok(Controllers {
            metrics,
            task: None,
        });
    };
    let provisioner = Arc::new(provisioner.clone());
    let settings = flags.settings(driver);
    let work = run(
        client,
        provisioner,
        settings,
        Arc::clone(&metrics),
        stop.wait(),
    );
    let task = Some(tokio::spawn(work));
    Ok(Controllers { metrics, task })
}

/// The cluster; `None` where there is to be none. What is found by chance, such as the kubeconfig in somebody's home, is not taken for it unless it is asked for.
async fn client(flags: &ControllerFlags) -> Result<Option<Client>, Failure> {
    let config = match (flags.controllers, &flags.kubeconfig) {
        (Mode::Off, _) => return Ok(None),
        (_, Some(path)) => of_file(path).await?,
        (Mode::Auto, None) if !is_in_a_pod() => {
            tracing::info!("no controllers: this is no pod, and no --kubeconfig is given");
            return Ok(None);
        }
        (_, None) if is_in_a_pod() => Config::incluster()?,
        (_, None) => Config::infer().await?,
    };
    Ok(Some(Client::try_from(config)?))
}

fn is_in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

async fn of_file(path: &Path) -> Result<Config, Failure> {
    let read = Kubeconfig::read_from(path);
    let file = read.map_err(|error| format!("--kubeconfig {}: {error}", path.display()))?;
    Ok(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        flags: ControllerFlags,
    }

    fn flags(text: &[&str]) -> ControllerFlags {
        let all = [&["it"], text].concat();
        <Only as clap::Parser>::try_parse_from(all).unwrap().flags
    }

    #[tokio::test]
    async fn none_run_where_none_are_wanted_or_there_is_no_cluster() {
        assert!(
            client(&flags(&["--controllers", "off"]))
                .await
                .unwrap()
                .is_none()
        );
        if !is_in_a_pod() {
            assert!(client(&flags(&[])).await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn a_cluster_that_is_named_has_to_be_there() {
        let wrong = flags(&["--kubeconfig", "/no/such/file"]);
        let text = client(&wrong).await.err().unwrap().to_string();
        assert!(text.contains("--kubeconfig /no/such/file"), "{text}");
    }

    #[tokio::test]
    async fn a_kubeconfig_leads_to_a_client() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let text = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                    users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";
        std::fs::write(&path, text).unwrap();
        let flags = flags(&["--kubeconfig", path.to_str().unwrap()]);
        assert!(client(&flags).await.unwrap().is_some());
    }
}
