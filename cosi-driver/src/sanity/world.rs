//! What the checks work with: a driver, names that nobody else has, and what has to be removed at the end.

use std::{
    future::Future,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tonic::{Code, Status};

use super::{
    args::RunArgs,
    driver::{Access, Answer, Driver, is_passing},
    report::{Checked, NotOk, failed, skipped},
    s3::{Client, Keys},
};
use crate::{
    cli::Failure, grpc::pb::v1alpha1::DriverGrantBucketAccessResponse, pause::pause,
    provision::Parameters, socket,
};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Of what a command says.
const COMMAND_TIME: Duration = Duration::from_mins(2);

/// See the module.
#[derive(Debug)]
pub struct World {
    /// Who is checked.
    pub driver: Driver,
    /// How.
    pub args: RunArgs,
    run: String,
    count: AtomicU32,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    buckets: Vec<String>,
    accounts: Vec<(String, String)>,
}

/// An access that was granted, as the Secret has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// By which it is revoked.
    pub account: String,
    /// What it is used with.
    pub keys: Keys,
}

impl World {
    /// Connects.
    ///
    /// # Errors
    /// Nobody answers at the socket.
    pub async fn open(args: &RunArgs) -> Result<Self, Failure> {
        let driver = Driver::new(socket::path_of(&args.endpoint)?, args.api);
        let now = OffsetDateTime::now_utc().unix_timestamp_nanos();
        let world = Self {
            driver,
            args: args.clone(),
            run: format!("{:08x}", (now / 1_000_000) & 0xffff_ffff),
            count: AtomicU32::new(0),
            made: Mutex::default(),
        };
        let answer = world.settled(|| world.driver.name()).await;
        match answer {
            Err(status) if is_passing(&status) => {
                Err(format!("no driver at {}: {}", args.endpoint, status.message()).into())
            }
            _ => Ok(world),
        }
    }

    /// Repeats a call for as long as the driver asks for that.
    ///
    /// # Errors
    /// What it answers in the end.
    pub async fn settled<T, F>(&self, call: impl Fn() -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let until = Instant::now() + self.args.patience;
        loop {
            match call().await {
                Err(status) if is_passing(&status) && Instant::now() < until => pause(PAUSE).await,
                answer => return answer,
            }
        }
    }

    /// A name for a bucket, as upstream makes them: 43 characters.
    pub fn bucket_name(&self) -> String {
        let name = format!("bucket-{}", self.uid());
        self.made.lock().buckets.push(name.clone());
        name
    }

    /// A name for a bucket of the greatest length that S3 has.
    pub fn long_bucket_name(&self) -> String {
        let mut name = format!("bucket-{}-", self.uid());
        name.extend(std::iter::repeat_n('x', 63 - name.len()));
        self.made.lock().buckets.push(name.clone());
        name
    }

    /// A name for an account, as upstream makes them.
    pub fn account_name(&self) -> String {
        format!("ba-{}", self.uid())
    }

    /// As Kubernetes makes them; another one each time.
    fn uid(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{}-0000-4000-8000-{count:012x}", self.run)
    }

    /// A bucket that is there.
    ///
    /// # Errors
    /// It can't be made.
    pub async fn bucket(&self) -> Result<String, NotOk> {
        self.create(&self.bucket_name()).await
    }

    /// The identifier of a bucket of this name.
    ///
    /// # Errors
    /// It can't be made.
    pub async fn create(&self, name: &str) -> Result<String, NotOk> {
        let parameters = self.args.parameters();
        let made = self.settled(|| self.driver.create(name, &parameters)).await;
        let id = made.map_err(refused("DriverCreateBucket"))?.id;
        if id.is_empty() {
            return Err(failed("DriverCreateBucket answers an empty bucket_id"));
        }
        let mut made = self.made.lock();
        if !made.buckets.contains(&id) {
            made.buckets.push(id.clone());
        }
        Ok(id)
    }

    /// Deletes a bucket.
    ///
    /// # Errors
    /// It can't be.
    pub async fn delete(&self, id: &str) -> Checked {
        let parameters = self.args.parameters();
        let deleted = self.settled(|| self.driver.delete(id, &parameters)).await;
        or_absent(deleted).map_err(refused("DriverDeleteBucket"))
    }

    /// A request for access by key.
    pub fn access(&self, bucket: &str, name: &str) -> Access {
        Access {
            parameters: self.args.access_parameters(),
            ..Access::new(bucket, name)
        }
    }

    /// Access to a bucket for an account of this name.
    ///
    /// # Errors
    /// It is not granted, or not as the sidecar needs it.
    pub async fn grant(&self, bucket: &str, name: &str) -> Result<Granted, NotOk> {
        let access = self.access(bucket, name);
        let granted = self.settled(|| self.driver.grant(&access)).await;
        let granted = granted.map_err(refused("DriverGrantBucketAccess"))?;
        let account = granted.account().to_owned();
        self.made.lock().accounts.push((bucket.to_owned(), account));
        as_secret(&granted)
    }

    /// Revokes access.
    ///
    /// # Errors
    /// It can't be.
    pub async fn revoke(&self, bucket: &str, account: &str) -> Checked {
        let revoked = self.settled(|| self.driver.revoke(bucket, account)).await;
        revoked.map_err(refused("DriverRevokeBucketAccess"))
    }

    /// Uses what was granted, where it can be.
    ///
    /// # Errors
    /// The endpoint can't be reached from here, or that is not wanted.
    pub async fn s3(&self, granted: &Granted) -> Result<Client, NotOk> {
        let client = Client::new(granted.keys.clone(), self.args.ca_file.as_deref());
        let client = client.map_err(failed)?;
        match client.reach().await {
            Ok(()) => Ok(client),
            Err(why) if self.args.require_s3 => Err(failed(why)),
            Err(why) => Err(skipped(why)),
        }
    }

    /// Runs a command of whoever checks.
    ///
    /// # Errors
    /// It fails, which is not the driver's fault.
    pub async fn shell(&self, command: &str) -> Checked {
        let mut running = Command::new("sh");
        running
            .args(["-c", command])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let ended = spawn_blocking(move || running.status());
        match timeout(COMMAND_TIME, ended).await {
            Ok(Ok(Ok(status))) if status.success() => Ok(()),
            Ok(Ok(Ok(status))) => Err(failed(format!("`{command}` ended with {status}"))),
            Ok(Ok(Err(error))) => Err(failed(format!("`{command}`: {error}"))),
            Ok(Err(error)) => Err(failed(format!("`{command}`: {error}"))),
            Err(_) => Err(failed(format!("`{command}` takes too long"))),
        }
    }

    /// Removes what was made; what can't be is answered.
    pub async fn clean_up(&self) -> Vec<String> {
        let made = std::mem::take(&mut *self.made.lock());
        let mut left = Vec::new();
        for (bucket, account) in made.accounts {
            if self.revoke(&bucket, &account).await.is_err() {
                left.push(account);
            }
        }
        for bucket in made.buckets {
            if self.delete(&bucket).await.is_err() {
                left.push(bucket);
            }
        }
        left
    }
}

/// What the sidecar makes a Secret of.
///
/// # Errors
/// There is something missing.
pub fn as_secret(granted: &Answer) -> Result<Granted, NotOk> {
    match granted {
        Answer::V1Alpha1(granted) => of_credentials(granted),
        Answer::V1Alpha2(granted) => super::info::as_secret(granted),
    }
}

/// The released sidecar takes the one entry of the credentials, and leaves fields empty that it does not find.
fn of_credentials(granted: &DriverGrantBucketAccessResponse) -> Result<Granted, NotOk> {
    if granted.account_id.is_empty() {
        return Err(failed("account_id is empty"));
    }
    let [("s3", details)] = granted
        .credentials
        .iter()
        .map(|(name, details)| (name.as_str(), details))
        .collect::<Vec<_>>()[..]
    else {
        let names = granted.credentials.keys().cloned().collect::<Vec<_>>();
        return Err(failed(format!(
            "credentials has [{}], not just s3",
            names.join(", ")
        )));
    };
    let field = |name: &str| {
        let value = details
            .secrets
            .get(name)
            .filter(|it| !it.is_empty())
            .cloned();
        value.ok_or_else(|| failed(format!("credentials of s3 have no {name}")))
    };
    Ok(Granted {
        account: granted.account_id.clone(),
        keys: Keys {
            access_key: field("accessKeyID")?,
            secret_key: field("accessSecretKey")?.into(),
            endpoint: field("endpoint")?,
            region: field("region")?,
        },
    })
}

/// What should have been done was refused.
pub fn refused(method: &str) -> impl Fn(Status) -> NotOk {
    move |status| failed(format!("{method} answers {}", brief(&status)))
}

/// A status in few words.
pub fn brief(status: &Status) -> String {
    let code = crate::metrics::name_of(status.code());
    format!("{code} ({})", status.message())
}

/// What is not there is deleted.
///
/// # Errors
/// All others.
pub fn or_absent(answer: Result<(), Status>) -> Result<(), Status> {
    match answer {
        Err(status) if status.code() == Code::NotFound => Ok(()),
        answer => answer,
    }
}

/// What must be refused is, with one of these codes.
///
/// # Errors
/// It is done, or refused with another code.
pub fn expect_code<T>(what: &str, answer: Result<T, Status>, codes: &[Code]) -> Checked {
    let names = codes.iter().map(|it| crate::metrics::name_of(*it));
    let names = names.collect::<Vec<_>>().join(" or ");
    match answer {
        Err(status) if codes.contains(&status.code()) => Ok(()),
        Err(status) => Err(failed(format!(
            "{what}: {}, expected {names}",
            brief(&status)
        ))),
        Ok(_) => Err(failed(format!("{what}: OK, expected {names}"))),
    }
}

/// Parameters of more than 4 KiB.
pub fn too_many_parameters() -> Parameters {
    let pairs = (0..40).map(|number| (format!("key-{number}"), "x".repeat(120)));
    pairs.collect()
}
