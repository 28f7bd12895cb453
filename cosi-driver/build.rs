//! Compiles the `.proto` files, without protoc: the released version, and each revision of the unreleased one beside what they share.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use protox::prost::Message as _;
use tonic_prost_build::{Builder, FileDescriptorSet};

type Outcome<T> = Result<T, Box<dyn Error>>;

const V1ALPHA2: &str = ".sigs.k8s.io.cosi.v1alpha2";
const SHARED: &str = "cosi/v1alpha2/common.proto";
const REVISIONS: [&str; 3] = ["r1", "r2", "r3"];
/// Messages with credentials: their `Debug` is written by hand.
const SECRET: [&str; 4] = [
    ".cosi.v1alpha1.CredentialDetails",
    ".sigs.k8s.io.cosi.v1alpha2.S3CredentialInfo",
    ".sigs.k8s.io.cosi.v1alpha2.AzureCredentialInfo",
    ".sigs.k8s.io.cosi.v1alpha2.GcsCredentialInfo",
];

fn main() -> Outcome<()> {
    println!("cargo::rerun-if-changed=proto");
    generate("v1alpha1", parse("cosi/v1alpha1.proto")?, |it| it)?;
    let shared = parse(SHARED)?;
    let names = messages_of(&shared);
    generate("v1alpha2", shared, |it| it)?;
    for revision in REVISIONS {
        let mut files = parse(&format!("cosi/v1alpha2/{revision}.proto"))?;
        describe(revision, &files)?;
        // What they share is generated once; the generator still has to know its messages.
        for file in files.file.iter_mut().filter(|file| file.name() == SHARED) {
            file.service.clear();
        }
        compile(revision, files, |it| names.iter().fold(it, share))?;
    }
    Ok(())
}

fn parse(file: &str) -> Outcome<FileDescriptorSet> {
    Ok(protox::compile([file], ["proto"])?)
}

fn messages_of(files: &FileDescriptorSet) -> Vec<String> {
    let messages = files.file.iter().flat_map(|file| &file.message_type);
    messages.map(|message| message.name().to_owned()).collect()
}

fn share(builder: Builder, name: &String) -> Builder {
    builder.extern_path(
        format!("{V1ALPHA2}.{name}"),
        format!("crate::grpc::pb::v1alpha2::{name}"),
    )
}

fn generate(
    name: &str,
    files: FileDescriptorSet,
    configure: impl FnOnce(Builder) -> Builder,
) -> Outcome<()> {
    describe(name, &files)?;
    compile(name, files, configure)
}

fn compile(
    name: &str,
    files: FileDescriptorSet,
    configure: impl FnOnce(Builder) -> Builder,
) -> Outcome<()> {
    let directory = out_dir()?.join(name);
    fs::create_dir_all(&directory)?;
    let builder = tonic_prost_build::configure()
        .out_dir(directory)
        .btree_map(".")
        .build_transport(false)
        .skip_debug(SECRET);
    Ok(configure(builder).compile_fds(files)?)
}

/// What gRPC reflection answers.
fn describe(name: &str, files: &FileDescriptorSet) -> Outcome<()> {
    let path = out_dir()?.join(name).with_extension("bin");
    write(&path, &files.encode_to_vec())
}

fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    Ok(fs::write(path, bytes)?)
}

fn out_dir() -> Outcome<PathBuf> {
    Ok(env::var("OUT_DIR")?.into())
}
