//! Log lines on stderr.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// How log lines look, on stderr.
    #[arg(
        long,
        env = "LARDER_COSI_LOG_FORMAT",
        value_enum,
        default_value = "human",
        help_heading = "Logs"
    )]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,hyper=debug`.
    #[arg(
        long,
        env = "LARDER_COSI_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info",
        help_heading = "Logs"
    )]
    log_level: String,
}

/// Starts logging for the whole process; a second call changes nothing.
///
/// # Errors
/// The filter is not one.
pub fn start(args: &LogArgs) -> Result<(), String> {
    let filter = EnvFilter::try_new(directives(&args.log_level))
        .map_err(|error| format!("--log-level: {error}"))?;
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match args.log_format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    drop(started);
    Ok(())
}

/// A level alone is for what the driver says itself; libraries are heard when something is wrong, or when a filter names them.
fn directives(level: &str) -> String {
    match level.parse::<LevelFilter>() {
        Ok(level) if level >= LevelFilter::WARN => format!("warn,larder_cosi={level}"),
        _ => level.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_the_drivers_and_a_filter_is_as_it_is() {
        assert_eq!(directives("debug"), "warn,larder_cosi=debug");
        assert_eq!(directives("error"), "error");
        assert_eq!(directives("info,hyper=trace"), "info,hyper=trace");
    }
}
