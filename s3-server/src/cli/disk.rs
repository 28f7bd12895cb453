//! `larder disk`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Outcome,
    admin_client::{AdminArgs, AdminClient},
    connection::AskArgs,
    print, show,
    table::{Lean, Table, bytes},
};
use crate::admin::disks::{
    ADD_PATH, CANCEL_DRAIN_PATH, DRAIN_PATH, DiskChanged, DiskEntry, DiskList, PATH, REMOVE_PATH,
    REPLACE_PATH,
};

/// List, add, drain, remove and replace the disks of a running server.
#[derive(Debug, Args)]
pub(super) struct DiskArgs {
    #[command(subcommand)]
    command: DiskCommand,
}

#[derive(Debug, Subcommand)]
enum DiskCommand {
    /// Show each disk: number, directory, state, space, and what has to leave it before it can be removed.
    List(AskArgs),
    /// Make an empty directory a further disk, used for new objects at once.
    Add(AddArgs),
    /// Move all that a disk holds to the others, so that it can be removed. Also for a dead one.
    Drain(DrainArgs),
    /// Forget a disk that is drained.
    Remove(RemoveArgs),
    /// Put an empty directory in the place of a disk that failed.
    Replace(ReplaceArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The directory, on the server: there, empty, and its whole path.
    directory: String,
    #[command(flatten)]
    server: AdminArgs,
}

#[derive(Debug, Args)]
struct DrainArgs {
    /// The disk's number, as `larder disk list` shows it.
    disk: u16,
    /// Take it back: the disk is used as before.
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    server: AdminArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The disk's number, as `larder disk list` shows it.
    disk: u16,
    /// Although something is left on it. Without this, the refusal says what would become of it.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: AdminArgs,
}

#[derive(Debug, Args)]
struct ReplaceArgs {
    /// The disk's number, as `larder disk list` shows it.
    disk: u16,
    /// The empty directory, if it is another one than before: its whole path on the server.
    directory: Option<String>,
    #[command(flatten)]
    server: AdminArgs,
}

pub(super) fn run(args: &DiskArgs) -> Outcome {
    match &args.command {
        DiskCommand::List(args) => list(args),
        DiskCommand::Add(args) => {
            let body = json!({ "directory": args.directory });
            change(&args.server, ADD_PATH, &body)
        }
        DiskCommand::Drain(args) => {
            let path = if args.cancel {
                CANCEL_DRAIN_PATH
            } else {
                DRAIN_PATH
            };
            change(&args.server, path, &json!({ "disk": args.disk }))
        }
        DiskCommand::Remove(args) => {
            let body = json!({ "disk": args.disk, "force": args.force });
            change(&args.server, REMOVE_PATH, &body)
        }
        DiskCommand::Replace(args) => {
            let body = json!({ "disk": args.disk, "directory": args.directory });
            change(&args.server, REPLACE_PATH, &body)
        }
    }
}

fn change(server: &AdminArgs, path: &str, body: &serde_json::Value) -> Outcome {
    let changed: DiskChanged = AdminClient::new(server)?.post(path, body)?;
    Ok(print(&(changed.message + "\n"))?)
}

fn list(args: &AskArgs) -> Outcome {
    let answer = AdminClient::new(&args.connection)?.get_bytes(PATH)?;
    show(&answer, args.json, text)
}

fn text(list: &DiskList) -> String {
    let mut table = Table::new([
        ("PLACE", Lean::Right),
        ("DISK", Lean::Right),
        ("DIRECTORY", Lean::Left),
        ("ROLE", Lean::Left),
        ("STATE", Lean::Left),
        ("FREE", Lean::Right),
        ("SIZE", Lean::Right),
        ("HOLDS", Lean::Right),
        ("TO MOVE", Lean::Right),
    ]);
    for disk in &list.disks {
        let [free, size, holds] =
            [disk.available_bytes, disk.total_bytes, disk.shard_bytes].map(bytes);
        let to_move = match disk.shards_to_move {
            0 => "-".to_owned(),
            shards => format!("{shards} shards"),
        };
        let (role, state) = (disk.role.clone(), disk.state.clone());
        let (slot, number) = (disk.slot.to_string(), disk.number.to_string());
        let directory = disk.directory.clone();
        table.row([
            slot, number, directory, role, state, free, size, holds, to_move,
        ]);
    }
    let notes = list.disks.iter().filter_map(note);
    table.text() + &notes.collect::<String>()
}

/// What to know or do about a disk.
fn note(disk: &DiskEntry) -> Option<String> {
    let number = disk.number;
    if let Some(error) = &disk.last_error {
        return Some(format!("disk {number}: {error}\n"));
    }
    if disk.is_outdated {
        return Some(format!(
            "disk {number}: came back as it was at an earlier time: being brought up to date\n"
        ));
    }
    if let Some(what) = &disk.waits_for {
        return Some(format!("disk {number}: draining waits for {what}\n"));
    }
    if disk.bytes_to_take > 0 {
        let size = bytes(disk.bytes_to_take);
        return Some(format!(
            "disk {number}: emptier than the others: takes {size} more before they do\n"
        ));
    }
    let drained = disk.role == "drained";
    drained.then(|| format!("disk {number}: drained: can be removed\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_moves_what_can_be_removed_and_what_went_wrong() {
        let disk = |number: u16, role: &str, state: &str| DiskEntry {
            number,
            directory: format!("/d{number}"),
            role: role.to_owned(),
            state: state.to_owned(),
            ..DiskEntry::default()
        };
        let list = DiskList {
            profile: "2+2".to_owned(),
            disks: vec![
                DiskEntry {
                    shards_to_move: 17,
                    ..disk(0, "draining", "ok")
                },
                disk(1, "drained", "ok"),
                DiskEntry {
                    last_error: Some("no answer".to_owned()),
                    ..disk(2, "member", "failed")
                },
            ],
        };
        let text = text(&list);
        assert!(text.contains("17 shards"), "{text}");
        assert!(text.contains("disk 1: drained: can be removed\n"), "{text}");
        assert!(text.contains("disk 2: no answer\n"), "{text}");
    }
}
