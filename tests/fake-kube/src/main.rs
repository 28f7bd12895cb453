//! The fake API server as a program, for tests that are not written in Rust.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use larder_fake_kube::{FakeKube, Options};

/// Serves a Kubernetes API from memory until it is stopped.
#[derive(Debug, Parser)]
#[command(name = "larder-fake-kube")]
struct Arguments {
    /// Where to listen; port 0 for any that is free.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Let roles decide what may be done by whoever shows credentials or is impersonated.
    #[arg(long)]
    rbac: bool,
    /// Start without COSI's kinds.
    #[arg(long)]
    no_cosi: bool,
    /// Write a kubeconfig of the administrator here, once the server answers.
    #[arg(long)]
    kubeconfig: PathBuf,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let server = FakeKube::start(Options {
        listen: arguments.listen,
        rbac: arguments.rbac,
        cosi: !arguments.no_cosi,
    })
    .await?;
    let fresh = arguments.kubeconfig.with_extension("new");
    server.write_kubeconfig(&fresh)?;
    rename(&fresh, &arguments.kubeconfig)?;
    tokio::signal::ctrl_c().await
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever waits for the file must see it whole; it need not survive anything"
)]
fn rename(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::rename(from, to)
}
