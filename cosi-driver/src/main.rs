//! The `larder-cosi` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    larder_cosi::cli::main()
}
