//! `larder bench`: a load generator for any S3 endpoint.
//!
//! ```text
//! args              the command line
//! plan              which loads run, with which objects, and cleaning up
//! measure · work    one load: clients, clock, counting
//! client            S3 operations
//! sign · payload · connection · response · xml   what these are made of
//! floors · process  what the disks can do, what the server uses
//! report            table and JSON
//! ```
//!
//! Invariants: every load is bounded in operations and in time; what a GET returns is compared with
//! what was put; an error is counted and its text shown, never dropped. The client shares the
//! machine with the server under test, so a request costs it microseconds: bodies are slices of one
//! pool and hashed before the clock starts, signing keys are kept, connections stay open.
//!
//! Nothing here knows Larder: it speaks S3 to whatever listens.

#![allow(
    unreachable_pub,
    reason = "whether this module is part of a library is for the crate's root to say"
)]

mod args;
mod client;
mod connection;
mod endpoint;
mod floors;
mod histogram;
mod measure;
mod payload;
mod plan;
mod process;
mod report;
mod response;
mod sign;
mod work;
mod xml;

pub use args::BenchArgs;

/// Why a benchmark could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A setting does not make sense: to be corrected by the user.
    #[error("{flag}: {reason}")]
    Setting {
        /// The flag.
        flag: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither flag nor environment has the credentials.
    #[error("no {which} key: give --{which}-key or set {variable}")]
    NoCredentials {
        /// `access` or `secret`.
        which: &'static str,
        /// The first variable that is looked at.
        variable: &'static str,
    },
    /// The file with a credential can't be read.
    #[error("can't read the credential in {path}: {source}")]
    CredentialFile {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The endpoint can't be used.
    #[error("--endpoint: {0}")]
    Endpoint(#[from] endpoint::EndpointError),
    /// The bucket could not be prepared or cleaned: the server is not there or refuses.
    #[error("{doing}: {source}")]
    Server {
        /// What was being done.
        doing: String,
        /// What happened.
        source: client::OpError,
    },
    /// The objects for a load could not be put.
    #[error("preparing objects for '{load}': {errors} of {wanted} failed, first: {first}")]
    Prepare {
        /// The load.
        load: &'static str,
        /// How many failed.
        errors: u64,
        /// How many were wanted.
        wanted: u64,
        /// The first failure.
        first: String,
    },
    /// The results were printed, and some loads had nothing but errors.
    #[error("nothing succeeded in: {}", .loads.join(", "))]
    NothingSucceeded {
        /// The loads.
        loads: Vec<String>,
    },
    /// The results were printed, and some operations returned something else than was stored.
    #[error("the server gave wrong answers, see above")]
    WrongAnswers,
    /// A thread or its event loop could not be made.
    #[error("can't start a client thread: {0}")]
    Thread(std::io::Error),
    /// A client thread ended without a result: a bug.
    #[error("a client thread ended without a result")]
    ThreadGone,
    /// The floors of the disks could not be measured.
    #[error("{error}: {}", .error.source)]
    Floors {
        /// Which directory, and why.
        error: floors::FloorError,
    },
    /// A process could not be looked at.
    #[error("--server-pid: {0}")]
    Process(#[from] process::ProcessError),
    /// The results could not be written.
    #[error("can't write the results: {0}")]
    Output(#[from] std::io::Error),
}

/// Runs the benchmark that `args` describe; prints results to standard output and progress to
/// standard error.
///
/// # Errors
/// [`BenchError`], to be shown to the user. Single failed operations are reported in the results
/// and are no error, unless a load had nothing else or an answer was wrong.
pub async fn run(args: BenchArgs) -> Result<(), BenchError> {
    plan::run(args, std::io::stdout()).await
}
