//! `larder policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    client::Client,
    document,
    entity::{self, Kind},
    form::Form,
    scope::{self, is_built_in, name_of, short},
    time,
};
use crate::cli::{
    Failure, Outcome,
    api_error::ApiResult,
    connection::AskArgs,
    element::Element,
    print, print_json,
    table::{Lean, Table, facts},
};

/// As many versions of a policy as AWS keeps.
const MAX_VERSIONS: usize = 5;

const EXAMPLES: &str = "\
A policy is a JSON document of AWS's policy language:
  {\"Version\": \"2012-10-17\", \"Statement\": [
    {\"Effect\": \"Allow\", \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::backups/*\"}]}

Examples:
  larder policy set restore restore.json
  larder policy show LarderAppendOnly --document | sed ... | larder policy set mine -
  larder policy attach mine --user backup";

/// Policies that users, groups and roles can have: list, show, set, attach and remove them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Show all policies: those that are built in, and the account's own.
    List(ListArgs),
    /// Show a policy's document, and who has it.
    Show(ShowArgs),
    /// Add a policy that is not there yet.
    #[command(after_help = EXAMPLES)]
    Add(SetArgs),
    /// Make a policy say this from now on, whether it is there already or not. Its last versions are kept.
    #[command(after_help = EXAMPLES)]
    Set(SetArgs),
    /// Remove a policy. Who has it is said first, and loses it by --force.
    Remove(RemoveArgs),
    /// Let a user, group or role have a policy.
    Attach(AttachArgs),
    /// Let a user, group or role have a policy no more.
    Detach(AttachArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only the account's own.
    #[arg(long)]
    own: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Its name or ARN.
    name: String,
    /// Print nothing but the document.
    #[arg(long, conflicts_with = "json")]
    document: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// What it is called.
    name: String,
    /// The file that has the document; `-` for standard input.
    file: PathBuf,
    /// What it is for. Kept from when it is added.
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Its name or ARN.
    name: String,
    /// Although somebody has it. Without this, the refusal says who.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct AttachArgs {
    /// Its name, short name (read-only, read-write, write-only, append-only) or ARN.
    policy: String,
    #[command(flatten)]
    holder: HolderArgs,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct HolderArgs {
    /// The user.
    #[arg(long)]
    user: Option<String>,
    /// The group.
    #[arg(long)]
    group: Option<String>,
    /// The role.
    #[arg(long)]
    role: Option<String>,
}

impl HolderArgs {
    fn of(&self) -> (Kind, &str) {
        match (&self.user, &self.group, &self.role) {
            (Some(name), ..) => (Kind::User, name),
            (_, Some(name), _) => (Kind::Group, name),
            (.., name) => (Kind::Role, name.as_deref().unwrap_or_default()),
        }
    }
}

/// A policy, without its document.
#[derive(Clone, Debug, Serialize)]
struct Policy {
    name: String,
    arn: String,
    built_in: bool,
    attached: u64,
    version: String,
    description: String,
    updated: String,
}

impl Policy {
    fn of(element: &Element) -> Self {
        let arn = element.get("Arn");
        Self {
            name: element.get("PolicyName"),
            built_in: is_built_in(&arn),
            attached: element.get("AttachmentCount").parse().unwrap_or(0),
            version: element.get("DefaultVersionId"),
            description: element.get("Description"),
            updated: element.get("UpdateDate"),
            arn,
        }
    }
}

pub(crate) fn run(args: &PolicyArgs) -> Outcome {
    match &args.command {
        PolicyCommand::List(args) => list(args),
        PolicyCommand::Show(args) => show(args),
        PolicyCommand::Add(args) => add(args),
        PolicyCommand::Set(args) => set(args),
        PolicyCommand::Remove(args) => remove(args),
        PolicyCommand::Attach(args) => attach(args, true),
        PolicyCommand::Detach(args) => attach(args, false),
    }
}

fn list(args: &ListArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let scope = if args.own { "Local" } else { "All" };
    let form = Form::iam("ListPolicies").with("Scope", scope);
    let all = client.all(&form, "Policies")?;
    let mut all: Vec<_> = all.iter().map(Policy::of).collect();
    all.sort_by(|a, b| (!a.built_in, &a.name).cmp(&(!b.built_in, &b.name)));
    if args.ask.json {
        return print_json(&json!({ "policies": all }));
    }
    let mut table = Table::new([
        ("NAME", Lean::Left),
        ("SHORT", Lean::Left),
        ("OF", Lean::Left),
        ("ATTACHED", Lean::Right),
        ("ALLOWS", Lean::Left),
    ]);
    for policy in all {
        let of = if policy.built_in { "server" } else { "account" };
        let short = short(&policy.arn).unwrap_or_default().to_owned();
        let attached = policy.attached.to_string();
        table.row([
            policy.name,
            short,
            of.to_owned(),
            attached,
            policy.description,
        ]);
    }
    Ok(print(&table.text())?)
}

/// Who has a policy, by kind.
fn holders(client: &Client, arn: &str) -> ApiResult<Vec<(Kind, String)>> {
    let form = Form::iam("ListEntitiesForPolicy").with("PolicyArn", arn);
    let mut holders = Vec::new();
    for (kind, list) in [
        (Kind::User, "PolicyUsers"),
        (Kind::Group, "PolicyGroups"),
        (Kind::Role, "PolicyRoles"),
    ] {
        let name = format!("{}Name", kind.word());
        let found = client.all(&form, list)?;
        holders.extend(found.iter().map(|found| (kind, found.get(&name))));
    }
    Ok(holders)
}

fn in_words(holders: &[(Kind, String)]) -> String {
    let words = holders.iter();
    let words = words.map(|(kind, name)| format!("{} {name}", kind.command()));
    words.collect::<Vec<_>>().join(", ")
}

fn document_of(client: &Client, arn: &str, version: &str) -> ApiResult<Value> {
    let form = Form::iam("GetPolicyVersion").with("PolicyArn", arn);
    let found = client.ask(&form.with("VersionId", version))?;
    Ok(document::decoded(&found.get("PolicyVersion/Document")))
}

fn show(args: &ShowArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let arn = scope::arn_of(&client, &args.name)?;
    let found = client.ask(&Form::iam("GetPolicy").with("PolicyArn", &*arn));
    let found = found.map_err(|error| error.or_hint(hint))?;
    let policy = Policy::of(&found.at("Policy").cloned().unwrap_or_default());
    let document = document_of(&client, &arn, &policy.version)?;
    if args.document {
        return Ok(print(&document::pretty(&document))?);
    }
    let holders = holders(&client, &arn)?;
    if args.ask.json {
        let mut json = json!(policy);
        json["document"] = document;
        json["holders"] = holders
            .iter()
            .map(|(kind, name)| json!({ "kind": kind.command(), "name": name }))
            .collect();
        return print_json(&json);
    }
    let of = if policy.built_in {
        "the server: it can't be changed".to_owned()
    } else {
        format!(
            "the account, {} of {}",
            policy.version,
            time(&policy.updated)
        )
    };
    let text = facts([
        ("policy", policy.name),
        ("arn", policy.arn),
        ("of", of),
        ("allows", policy.description),
        ("who has it", in_words(&holders)),
    ]);
    Ok(print(&format!("{text}\n{}", document::pretty(&document)))?)
}

fn hint(code: &str) -> Option<String> {
    let hint = match code {
        "NoSuchEntity" => "larder policy list shows which there are",
        "EntityAlreadyExists" => "to change it: larder policy set",
        "MalformedPolicyDocument" => "larder policy show LarderReadOnly shows what one looks like",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn add(args: &SetArgs) -> Outcome {
    let document = document::read(&args.file)?;
    let client = Client::new(&args.ask.connection)?;
    create(&client, args, &document)
}

fn create(client: &Client, args: &SetArgs, document: &str) -> Outcome {
    let form = Form::iam("CreatePolicy")
        .with("PolicyName", &*args.name)
        .with("PolicyDocument", document)
        .with_some("Description", args.description.as_deref());
    let made = client.ask(&form).map_err(|error| error.or_hint(hint))?;
    let policy = Policy::of(&made.at("Policy").cloned().unwrap_or_default());
    if args.ask.json {
        return print_json(&json!(policy));
    }
    let Policy { name, arn, .. } = policy;
    Ok(print(&format!(
        "policy {name} is there: {arn}\nNext: larder policy attach {name} --user USER (or --group, --role)\n"
    ))?)
}

fn set(args: &SetArgs) -> Outcome {
    let document = document::read(&args.file)?;
    let client = Client::new(&args.ask.connection)?;
    let arn = match scope::find(&client, &args.name)? {
        Some(arn) if !is_built_in(&arn) => arn,
        _ => return create(&client, args, &document),
    };
    make_room(&client, &arn)?;
    let form = Form::iam("CreatePolicyVersion")
        .with("PolicyArn", &*arn)
        .with("PolicyDocument", &*document)
        .with("SetAsDefault", "true");
    let made = client.ask(&form).map_err(|error| error.or_hint(hint))?;
    let version = made.get("PolicyVersion/VersionId");
    if args.ask.json {
        return print_json(&json!({ "name": args.name, "arn": arn, "version": version }));
    }
    let holders = in_words(&holders(&client, &arn)?);
    let whom = if holders.is_empty() {
        "nobody has it yet".to_owned()
    } else {
        format!("it counts for {holders} from now on")
    };
    Ok(print(&format!(
        "policy {} is now {version}: {whom}\n",
        args.name
    ))?)
}

/// Forgets the oldest version of a policy that has as many as it may, but never the one that counts.
fn make_room(client: &Client, arn: &str) -> ApiResult<()> {
    let versions = client.all(
        &Form::iam("ListPolicyVersions").with("PolicyArn", arn),
        "Versions",
    )?;
    if versions.len() < MAX_VERSIONS {
        return Ok(());
    }
    let number = |version: &&Element| {
        let id = version.get("VersionId");
        id.trim_start_matches('v')
            .parse::<u64>()
            .unwrap_or(u64::MAX)
    };
    let others = versions.iter();
    let others = others.filter(|version| version.get("IsDefaultVersion") != "true");
    if let Some(oldest) = others.min_by_key(number) {
        delete_version(client, arn, oldest)?;
    }
    Ok(())
}

fn delete_version(client: &Client, arn: &str, version: &Element) -> ApiResult<()> {
    let form = Form::iam("DeletePolicyVersion").with("PolicyArn", arn);
    client
        .ask(&form.with("VersionId", version.get("VersionId")))
        .map(drop)
}

fn remove(args: &RemoveArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let arn = scope::arn_of(&client, &args.name)?;
    let name = name_of(&arn);
    if is_built_in(&arn) {
        return Err(format!(
            "policy {name} is one of the server's own and stays; to take it from somebody: larder policy detach {name} --user USER"
        )
        .into());
    }
    let holders = holders(&client, &arn)?;
    if !holders.is_empty() && !args.force {
        return Err(in_use(name, &holders));
    }
    for (kind, holder) in &holders {
        entity::detach(&client, *kind, holder, &arn)?;
    }
    let of = |action: &str| Form::iam(action).with("PolicyArn", &*arn);
    for version in client.all(&of("ListPolicyVersions"), "Versions")? {
        if version.get("IsDefaultVersion") != "true" {
            delete_version(&client, &arn, &version)?;
        }
    }
    let gone = client.ask(&of("DeletePolicy"));
    gone.map_err(|error| error.or_hint(hint))?;
    if args.ask.json {
        return print_json(&json!({ "removed": arn }));
    }
    Ok(print(&format!("policy {name} is removed\n"))?)
}

fn in_use(name: &str, holders: &[(Kind, String)]) -> Failure {
    format!(
        "nothing is removed yet: policy {name} is attached to {}, which would lose it; to remove it all the same: larder policy remove {name} --force",
        in_words(holders)
    )
    .into()
}

fn attach(args: &AttachArgs, attaches: bool) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let arn = scope::arn_of(&client, &args.policy)?;
    let (kind, holder) = args.holder.of();
    let (command, name) = (kind.command(), name_of(&arn));
    if attaches {
        entity::attach(&client, kind, holder, &arn)?;
    } else {
        entity::detach(&client, kind, holder, &arn)?;
    }
    if args.ask.json {
        return print_json(&json!({ "policy": arn, command: holder, "attached": attaches }));
    }
    if !attaches {
        return Ok(print(&format!(
            "{command} {holder} has policy {name} no more\n"
        ))?);
    }
    let next = if short(&arn).is_some() && lacks_bucket(&client, kind, holder) {
        no_bucket(kind, holder)
    } else {
        String::new()
    };
    Ok(print(&format!(
        "{command} {holder} has policy {name} from now on\n{next}"
    ))?)
}

fn no_bucket(kind: Kind, holder: &str) -> String {
    let how = if kind == Kind::User {
        format!(": larder user tag {holder} bucket=BUCKET prefix=PREFIX/")
    } else {
        String::new()
    };
    let command = kind.command();
    format!(
        "It allows nothing yet: it is for the bucket that the tag bucket of {command} {holder} names{how}\n"
    )
}

/// Whether a user or role has no bucket that the built-in policies could be for. Who may not look is told nothing.
fn lacks_bucket(client: &Client, kind: Kind, name: &str) -> bool {
    let has = |tags: Vec<super::Tag>| tags.iter().any(|tag| tag.key == "bucket");
    kind != Kind::Group && entity::one(client, kind, name).is_ok_and(|found| !has(found.tags))
}
