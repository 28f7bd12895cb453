//! The `larder` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    larder_server::cli::main()
}
