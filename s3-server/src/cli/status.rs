//! `larder status`.

use std::ops::ControlFlow;

use clap::Args;

use super::{
    Outcome,
    admin_client::{AdminArgs, AdminClient},
    show,
    table::{Lean, Table, bytes},
};
use crate::admin::status::{DiskStatus, KeysStatus, PATH, ServerStatus, WATCH_PATH};

/// Show disks, space and degraded objects of a running server.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    server: AdminArgs,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Show it again every two seconds, until interrupted.
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(args: &StatusArgs) -> Outcome {
    let client = AdminClient::new(&args.server)?;
    if !args.watch {
        return show(&client.get_bytes(PATH)?, args.json, text);
    }
    let mut shown = Ok(());
    client.get_lines(WATCH_PATH, |line| {
        shown = show(line, args.json, |status| text(status) + "\n");
        match &shown {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    shown
}

fn text(status: &ServerStatus) -> String {
    let served = &status.requests;
    let lines = [
        format!("version   {}", status.version),
        format!("region    {}", status.region),
        format!("up        {} s", status.uptime_seconds),
        format!("profile   {}", status.storage.profile),
        format!("degraded  {} objects", status.storage.degraded_objects),
        format!(
            "requests  {} ({} failed, {} slowed down)",
            served.requests, served.server_errors, served.slow_downs
        ),
        format!("keys      {}", keys(&status.master_keys)),
        String::new(),
        disks(&status.storage.disks),
    ];
    lines.join("\n")
}

/// The master keys.
fn keys(keys: &KeysStatus) -> String {
    match keys.ids.split_first() {
        None => "unknown".to_owned(),
        Some((sealing, [])) => format!("{sealing}, {}", keys.source),
        Some((sealing, rest)) => {
            let rest = rest.join(", ");
            format!("{sealing}, {}; opens also {rest}", keys.source)
        }
    }
}

fn disks(disks: &[DiskStatus]) -> String {
    let mut table = Table::new([
        ("DISK", Lean::Left),
        ("STATE", Lean::Left),
        ("USED", Lean::Right),
        ("FREE", Lean::Right),
        ("SIZE", Lean::Right),
    ]);
    for disk in disks {
        let [used, free, size] =
            [disk.used_bytes, disk.available_bytes, disk.total_bytes].map(bytes);
        table.row([disk.directory.clone(), state(disk), used, free, size]);
    }
    table.text()
}

fn state(disk: &DiskStatus) -> String {
    match disk.damaged_log_bytes {
        0 => disk.state.clone(),
        damaged => format!("{}, {} of its log damaged", disk.state, bytes(damaged)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_disk() {
        let disk = |directory: &str| DiskStatus {
            directory: directory.to_owned(),
            state: "ok".to_owned(),
            ..DiskStatus::default()
        };
        let mut status = ServerStatus::default();
        status.storage.disks = vec![disk("/d1"), disk("/d2")];
        let text = text(&status);
        let rows = text.lines().filter(|line| line.starts_with("/d"));
        assert_eq!(rows.count(), 2);
    }
}
