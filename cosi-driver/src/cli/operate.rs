//! `larder-cosi orphans`, `migrate` and `doctor`.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::{Failure, Outcome, connection::ConnectionArgs, print};
use crate::{
    backend::{CredentialSource, ServerBackend, ServerSettings},
    controllers::{self, UPSTREAM_NAMESPACE},
    operate::{World, doctor, migrate, orphans},
    provision::{ProvisionSettings, Provisioner},
};

/// Which store and which cluster.
#[derive(Clone, Debug, Args)]
pub(super) struct Places {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The driver's name, as classes write it.
    #[arg(
        long,
        env = "LARDER_COSI_DRIVER_NAME",
        value_name = "NAME",
        default_value = "cosi.larder.dev"
    )]
    driver_name: String,
    /// The cluster; left out, that of the pod, or of KUBECONFIG.
    #[arg(long, env = "LARDER_COSI_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// List accounts and buckets that have no object in the cluster any more.
///
/// The controllers disable such accounts and delete them in the end; this shows them, and deletes them at once with --delete. Buckets are only shown.
#[derive(Clone, Debug, Args)]
pub(super) struct OrphansArgs {
    #[command(flatten)]
    places: Places,
    /// Delete the accounts. Never deletes a bucket.
    #[arg(long)]
    delete: bool,
    /// Delete them even where the cluster has no access at all, which looks like the wrong cluster.
    #[arg(long, requires = "delete")]
    force: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// How accesses say what they may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Revision {
    R1,
    R2,
    #[default]
    R3,
}

/// Print the objects of v1alpha2 that take up everything there is, as static buckets.
#[derive(Clone, Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    places: Places,
    /// Of v1alpha2: r1 (March 2026), r2 (September 2026) or r3 (the enhancement proposal of autumn 2026).
    #[arg(long, value_enum, default_value = "r3")]
    revision: Revision,
    /// Print one JSON document, a List, which kubectl takes as well.
    #[arg(long)]
    json: bool,
}

/// Look for what is wrong, in the cluster and in the store, and say what to do. Fails if something is.
#[derive(Clone, Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    places: Places,
    /// Where the driver runs, and has its Lease; left out, the pod's namespace.
    #[arg(long, env = "LARDER_COSI_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// Where upstream's controller would be.
    #[arg(long, env = "LARDER_COSI_UPSTREAM_NAMESPACE", value_name = "NAME", default_value = UPSTREAM_NAMESPACE)]
    upstream_namespace: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Places {
    fn provisioner(&self) -> Result<Provisioner, Failure> {
        let connection = self.connection.resolve()?;
        let backend = ServerBackend::new(ServerSettings {
            endpoint: connection.endpoint.clone(),
            region: connection.region.clone(),
            ca_file: connection.ca_file.clone(),
            credentials: CredentialSource::of_environment(|name| std::env::var(name).ok())?,
        })?;
        let settings = ProvisionSettings {
            driver: self.driver_name.clone(),
            endpoint: connection.endpoint,
            external_endpoint: connection.external_endpoint,
            region: connection.region,
            ..ProvisionSettings::default()
        };
        Ok(Provisioner::new(Arc::new(backend), settings))
    }

    async fn client(&self) -> Result<Client, Failure> {
        let config = match &self.kubeconfig {
            None => Config::infer().await?,
            Some(path) => {
                let read = Kubeconfig::read_from(path);
                let file =
                    read.map_err(|error| format!("--kubeconfig {}: {error}", path.display()))?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
            }
        };
        Ok(Client::try_from(config)?)
    }
}

impl DoctorArgs {
    fn leases(&self) -> controllers::Places {
        controllers::Places {
            upstream_namespace: self.upstream_namespace.clone(),
            namespace: self
                .namespace
                .clone()
                .unwrap_or_else(controllers::own_namespace),
            driver: self.places.driver_name.clone(),
        }
    }
}

fn wait(work: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

pub(super) fn orphans(args: &OrphansArgs) -> Outcome {
    wait(async {
        let provisioner = args.places.provisioner()?;
        let world = World::load(&args.places.client().await?, &provisioner).await?;
        let found = orphans::find(&world);
        if !args.json {
            print(&found.text())?;
        }
        let mut deleted = Vec::new();
        let outcome = delete(args, &found, &provisioner, &mut deleted).await;
        // What was deleted is said, whatever became of the rest.
        if args.json {
            let mut document = found.json();
            document["deleted"] = json!(deleted);
            print_json(&document)?;
        } else {
            for account in &deleted {
                print(&format!("deleted {account}\n"))?;
            }
        }
        outcome
    })
}

async fn delete(
    args: &OrphansArgs,
    found: &orphans::Orphans,
    provisioner: &Provisioner,
    deleted: &mut Vec<String>,
) -> Outcome {
    if args.delete {
        let tell = |account: &str| deleted.push(account.to_owned());
        orphans::delete(found, provisioner, args.force, tell).await?;
    }
    Ok(())
}

pub(super) fn migrate(args: &MigrateArgs) -> Outcome {
    wait(async {
        let world = World::of_cluster(&args.places.client().await?).await?;
        let modes = match args.revision {
            Revision::R1 => migrate::Modes::One,
            Revision::R2 | Revision::R3 => migrate::Modes::Several,
        };
        let driver = &args.places.driver_name;
        if args.json {
            print_json(&migrate::json(&world, driver, modes))
        } else {
            Ok(print(&migrate::manifests(&world, driver, modes))?)
        }
    })
}

pub(super) fn doctor(args: &DoctorArgs) -> Outcome {
    wait(async {
        let provisioner = args.places.provisioner()?;
        let client = args.places.client().await?;
        let checks = doctor::examine(&client, &provisioner, &args.leases()).await;
        if args.json {
            print_json(&doctor::json(&checks))?;
        } else {
            print(&doctor::text(&checks))?;
        }
        if doctor::is_well(&checks) {
            Ok(())
        } else {
            Err("something is wrong: see above".into())
        }
    })
}

fn print_json(document: &Value) -> Outcome {
    Ok(print(&format!("{document:#}\n"))?)
}
