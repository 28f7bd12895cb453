//! The `cosi-sanity` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    larder_cosi::sanity::main()
}
