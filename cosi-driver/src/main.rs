//! `larder-cosi`: see `--help`.

fn main() {}
