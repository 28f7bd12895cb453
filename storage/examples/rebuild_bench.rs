//! How fast the view is rebuilt from the logs, and how long a start takes after a kill.
//!
//! `cargo run --release -p larder-storage --example rebuild_bench -- --objects 1000000 --bytes 1024`
//!
//! A child process fills four disks below `--dir` (default: a directory in the system's temporary one, removed at the end) with
//! objects and is killed with SIGKILL while it runs. Printed are: the start after that, the rebuild after the view was
//! deleted, and whether both gave the same objects. Every object's record is compared; bodies are not read.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark: prints what it measures by the wall clock"
)]

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use larder_storage::{
    clock::SystemClock,
    disk::OpenOptions,
    meta::view::Engine,
    objects::{
        BucketName, CreateBucket, ETag, Headers, ListObjects, ListedEntry, ObjectAcl, ObjectKey,
        ObjectLock, PutObject, Store, Tags, WriteConditions,
    },
    open::{OpenSettings, Storage, open},
    rng::SystemRng,
    upkeep::UpkeepSettings,
};

const DISKS: usize = 4;
/// PUTs under way at once: enough that a sync is shared by many.
const AT_ONCE: usize = 512;

#[derive(Clone)]
struct Args {
    objects: u64,
    bytes: usize,
    dir: PathBuf,
    fill: bool,
    keep: bool,
}

fn args() -> Args {
    let mut args = Args {
        objects: 1_000_000,
        bytes: 1024,
        dir: std::env::temp_dir().join(format!("larder-rebuild-{}", std::process::id())),
        fill: false,
        keep: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap();
        match word.as_str() {
            "--objects" => args.objects = value().parse().unwrap(),
            "--bytes" => args.bytes = value().parse().unwrap(),
            "--dir" => args.dir = value().into(),
            "--fill" => args.fill = true,
            "--keep" => args.keep = true,
            other => unimplemented!("{other}"),
        }
    }
    args
}

async fn start(dir: &Path) -> Storage {
    let data: Vec<_> = (0..DISKS)
        .map(|disk| dir.join(format!("disk{disk}")))
        .collect();
    for disk in &data {
        fs::create_dir_all(disk).unwrap();
    }
    let settings = OpenSettings {
        data,
        profile: None,
        engine: Engine::Fjall,
        view_dir: Some(dir.join("view")),
        disks: OpenOptions::default(),
        disk_timeout: larder_storage::open::DEFAULT_DISK_TIMEOUT,
        md5: |_| [0; 16],
    };
    let (clock, rng) = (Arc::new(SystemClock), Arc::new(SystemRng));
    open(settings, clock, rng, Arc::new(|_| ())).await.unwrap()
}

fn bucket() -> BucketName {
    BucketName::parse("rebuild").unwrap()
}

async fn put(store: &Store, number: u64, body: Bytes) {
    // In random order, as the names of real objects are.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut writer = store
        .blob_writer(&bucket(), Some(body.len() as u64))
        .await
        .unwrap();
    writer.write(body).await.unwrap();
    let request = PutObject {
        bucket: bucket(),
        key: ObjectKey::parse(&format!("backups/cluster-1/wal/{mixed:016x}/{number}")).unwrap(),
        blob: writer.finish().await.unwrap(),
        etag: ETag {
            md5: u128::from(mixed).to_be_bytes(),
            parts: 0,
        },
        checksum: None,
        headers: Headers::default(),
        tags: Tags::default(),
        conditions: WriteConditions::default(),
        lock: ObjectLock::default(),
        acl: ObjectAcl::default(),
    };
    store.put_object(request).await.unwrap();
}

/// The child: fills, says so, and waits to be killed. Upkeep runs as in a server.
async fn fill(args: &Args) {
    let storage = start(&args.dir).await;
    let name = bucket();
    let create = CreateBucket::new(name);
    storage.store().create_bucket(create).await.unwrap();
    tokio::spawn(storage.upkeep(UpkeepSettings::default()));
    let body = Bytes::from(vec![7; args.bytes]);
    let began = Instant::now();
    stream::iter(0..args.objects)
        .for_each_concurrent(AT_ONCE, |number| put(storage.store(), number, body.clone()))
        .await;
    let took = began.elapsed().as_secs_f64();
    println!("filled: {} objects in {took:.1} s", args.objects);
    println!("ready");
    std::io::stdout().flush().unwrap();
    std::io::stdin().lines().next();
}

fn fill_and_kill(args: &Args) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--fill",
            "--objects",
            &args.objects.to_string(),
            "--bytes",
            &args.bytes.to_string(),
            "--dir",
        ])
        .arg(&args.dir)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        match line.unwrap().as_str() {
            "ready" => break,
            line => println!("{line}"),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Number of the objects and a hash of all that a listing says of them.
async fn contents(store: &Store) -> (u64, u64) {
    let (mut count, mut hasher, mut after) = (0, DefaultHasher::new(), String::new());
    loop {
        let request = ListObjects {
            bucket: bucket(),
            prefix: String::new(),
            delimiter: String::new(),
            after,
            limit: 1000,
        };
        let page = store.list_objects(request).await.unwrap();
        for entry in page.entries {
            if let ListedEntry::Object(object) = entry {
                let handle = store.object(&bucket(), &object.key).await.unwrap();
                let revision = format!("{:?}", handle.revision());
                (object.key.as_str(), object.size, object.etag.md5, revision).hash(&mut hasher);
                count += 1;
            }
        }
        match page.next {
            Some(next) => after = next,
            None => return (count, hasher.finish()),
        }
    }
}

async fn measured(what: &str, args: &Args) -> (u64, u64) {
    let began = Instant::now();
    let storage = start(&args.dir).await;
    let took = began.elapsed().as_secs_f64();
    let report = storage.recovery().clone();
    let found = contents(storage.store()).await;
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded for printing")]
    let rate = found.0 as f64 / took;
    println!(
        "{what}: {took:.2} s, {rate:.0} objects/s, {} frames, {} adopted, rebuilt {}",
        report.frames, report.adopted, report.rebuilt
    );
    storage.close().await;
    found
}

#[tokio::main]
async fn main() {
    let args = args();
    if args.fill {
        fill(&args).await;
        return;
    }
    if !args.dir.exists() {
        fill_and_kill(&args);
    }
    let killed = measured("start after a kill", &args).await;
    let closed = measured("start after a clean stop", &args).await;
    fs::remove_dir_all(args.dir.join("view")).unwrap();
    let rebuilt = measured("rebuild without a view", &args).await;
    assert!(
        killed == closed && closed == rebuilt,
        "the rebuilt view differs"
    );
    assert_eq!(rebuilt.0, args.objects);
    println!("all give the same {} objects", rebuilt.0);
    if !args.keep {
        fs::remove_dir_all(&args.dir).unwrap();
    }
}
