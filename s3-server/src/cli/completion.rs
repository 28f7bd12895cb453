//! `larder completion`.

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use super::{Outcome, print};

const EXAMPLES: &str = "\
Load it into this shell:
  source <(larder completion bash)
or for good:
  larder completion bash > /etc/bash_completion.d/larder
  larder completion zsh  > \"${fpath[1]}/_larder\"
  larder completion fish > ~/.config/fish/completions/larder.fish";

/// Print what lets a shell complete commands, flags and their values.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionArgs {
    /// The shell.
    shell: Known,
}

/// Those that are tried.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(args: &CompletionArgs, mut command: Command) -> Outcome {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut command, "larder", &mut script);
    Ok(print(&String::from_utf8_lossy(&script))?)
}
