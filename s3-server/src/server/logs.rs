//! Log lines on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogFormat, Settings};

/// The engines of the metadata view tell of each file that they open; what they do is of interest to those who name them.
const ENGINES: &str = "fjall=warn,lsm_tree=warn,sled=warn";

/// Starts logging for the whole process; a second call changes nothing.
///
/// # Errors
/// The filter is not one.
pub(super) fn start(settings: &Settings) -> Result<(), String> {
    // The settings' directives come last, so that those that name an engine win.
    let directives = format!("{ENGINES},{}", settings.log_level);
    let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match settings.log_format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    drop(started);
    Ok(())
}
