//! How far the opening, or a rebuild, is.

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};
use larder_storage::meta::embedded::{Progress, ProgressStage};

const LOGS: &str = "{msg} [{bar:40}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
const KEYS: &str = "{msg} {human_pos}, {per_sec}";

/// Shows progress on stderr: a bar on a terminal, else a line in the log for each tenth of the way.
pub(crate) fn progress_shown() -> Arc<dyn Fn(Progress) + Send + Sync> {
    if std::io::stderr().is_terminal() {
        progress_bar()
    } else {
        progress_log()
    }
}

fn what(stage: ProgressStage) -> &'static str {
    match stage {
        ProgressStage::Replay => "replaying the logs",
        ProgressStage::Rebuild => "rebuilding the metadata view from the logs",
        ProgressStage::Load => "keys put into the metadata view:",
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

fn progress_bar() -> Arc<dyn Fn(Progress) + Send + Sync> {
    let (logs, keys) = (ProgressBar::new(0), ProgressBar::no_length());
    let (logs, keys) = (logs.with_style(style(LOGS)), keys.with_style(style(KEYS)));
    Arc::new(move |progress| {
        if progress.stage == ProgressStage::Load {
            keys.set_message(what(progress.stage));
            keys.set_position(progress.done_bytes);
            return;
        }
        logs.set_message(what(progress.stage));
        logs.set_length(progress.total_bytes);
        logs.set_position(progress.done_bytes);
        if progress.done_bytes == progress.total_bytes {
            logs.finish_and_clear();
        }
    })
}

fn progress_log() -> Arc<dyn Fn(Progress) + Send + Sync> {
    let shown = AtomicU64::new(0);
    Arc::new(move |progress| {
        if progress.stage == ProgressStage::Load {
            return;
        }
        let tenth = progress.done_bytes * 10 / progress.total_bytes.max(1);
        if shown.swap(tenth, Ordering::Relaxed) != tenth {
            let (done, total) = (progress.done_bytes >> 20, progress.total_bytes >> 20);
            tracing::info!(
                "{}: {tenth}0 %, {done} of {total} MiB",
                what(progress.stage)
            );
        }
    })
}
