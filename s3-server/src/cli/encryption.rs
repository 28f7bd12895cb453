//! `larder encryption`.

use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Outcome,
    admin_client::{AdminArgs, AdminClient, decode},
    show,
    table::bytes,
};
use crate::admin::encryption::{
    EncryptionDocument, KeyDocument, PATH, REWRAP_PATH, RewrapTally, WATCH_PATH,
};

/// Show the master keys of a running server, and have what earlier ones sealed sealed anew.
#[derive(Debug, Args)]
pub(super) struct EncryptionArgs {
    #[command(subcommand)]
    command: EncryptionCommand,
}

#[derive(Debug, Subcommand)]
enum EncryptionCommand {
    /// Show the master keys, which of them are needed, and how far wrapping anew is.
    Status(StatusArgs),
    /// Have all that other master keys sealed be sealed by the first one, and wait for the end: then the others may be taken away.
    Rewrap(RewrapArgs),
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    server: AdminArgs,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RewrapArgs {
    #[command(flatten)]
    server: AdminArgs,
    /// Don't wait: it goes on by itself, also over restarts of the server.
    #[arg(long)]
    no_wait: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Something is still sealed by another key.
const INCOMPLETE: &str = "something does not open, or can't be read now: all keys stay needed (see `larder encryption status` and the server's log)";

pub(super) fn run(args: &EncryptionArgs) -> Outcome {
    match &args.command {
        EncryptionCommand::Status(args) => {
            let client = AdminClient::new(&args.server)?;
            show(&client.get_bytes(PATH)?, args.json, text)
        }
        EncryptionCommand::Rewrap(args) => rewrap(args),
    }
}

fn rewrap(args: &RewrapArgs) -> Outcome {
    let client = AdminClient::new(&args.server)?;
    let begun = client.post_bytes(REWRAP_PATH, &serde_json::json!({}))?;
    if args.no_wait {
        return show(&begun, args.json, text);
    }
    let bar = spinner();
    let mut last = Ok(None);
    client.get_lines(&format!("{WATCH_PATH}?interval=1s"), |line| {
        match decode::<EncryptionDocument>(line) {
            Ok(document) if document.state == "running" => {
                bar.set_message(progress(&document));
                return ControlFlow::Continue(());
            }
            Ok(document) => last = Ok(Some((line.to_vec(), document))),
            Err(error) => last = Err(error),
        }
        ControlFlow::Break(())
    })?;
    bar.finish_and_clear();
    let Some((line, document)) = last? else {
        return Err(
            "the server stopped before the end: wrapping anew goes on when it is back".into(),
        );
    };
    show(&line, args.json, text)?;
    if document.done.failed + document.secrets_failed > 0 {
        return Err(INCOMPLETE.into());
    }
    Ok(())
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

fn progress(document: &EncryptionDocument) -> String {
    let RewrapTally {
        looked_at,
        rewrapped,
        failed,
        moved_bytes,
    } = document.done;
    let mut parts = vec![format!(
        "{looked_at} objects looked at, {rewrapped} wrapped anew"
    )];
    if moved_bytes > 0 {
        let moved = bytes(moved_bytes);
        parts.push(format!("{moved} of small ones written again"));
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    parts.extend(document.last_error.clone());
    parts.join(", ")
}

fn text(document: &EncryptionDocument) -> String {
    let mut lines: Vec<_> = document.keys.iter().map(key).collect();
    lines.push(match (&*document.state, document.started_unix_millis) {
        ("idle", 0) => "rewrap     never asked for".to_owned(),
        (state, _) => format!("rewrap     {state}: {}", progress(document)),
    });
    if document.secrets + document.secrets_failed > 0 {
        let (done, failed) = (document.secrets, document.secrets_failed);
        lines.push(format!("secrets    {done} sealed anew, {failed} failed"));
    }
    lines.join("\n") + "\n"
}

fn key(key: &KeyDocument) -> String {
    let what = match (key.seals, key.is_needed) {
        (true, _) => "seals",
        (false, true) => "needed: something may be sealed by it",
        (false, false) => "seals nothing: it may be taken away",
    };
    format!("key        {}: {what}", key.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_which_keys_may_go_and_what_was_done() {
        let key = |id: &str, seals, is_needed| KeyDocument {
            id: id.to_owned(),
            seals,
            is_needed,
        };
        let document = EncryptionDocument {
            keys: vec![
                key("new", true, true),
                key("old", false, true),
                key("gone", false, false),
            ],
            state: "idle".to_owned(),
            started_unix_millis: 1,
            done: RewrapTally {
                looked_at: 9,
                rewrapped: 3,
                failed: 1,
                moved_bytes: 2048,
            },
            secrets: 2,
            ..EncryptionDocument::default()
        };
        let text = text(&document);
        for part in [
            "new: seals\n",
            "old: needed",
            "gone: seals nothing",
            "idle: 9 objects looked at, 3 wrapped anew, 2.0 KiB of small ones written again, 1 failed",
            "secrets    2 sealed anew, 0 failed",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
