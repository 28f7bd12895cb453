//! `larder key`.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::{
    client::Client,
    entity::{self, Kind},
    exports::Pair,
    form::Form,
    scope::ScopeArgs,
    time,
};
use crate::cli::{
    Failure, Outcome,
    api_error::ApiResult,
    connection::AskArgs,
    print, print_json,
    table::{Lean, Table, facts},
};

const ADD_EXAMPLES: &str = "\
Examples:
  larder key add backup                        # for people
  larder key add backup --json                 # for programs
  eval \"$(larder key add backup --env)\"        # straight into this shell";

const ROTATE_EXAMPLES: &str = "\
A key is changed without a moment at which none works:
  larder key rotate backup            # a second key; the old one goes on working
  ... give the new one to whatever uses the old one ...
  larder key list backup              # LAST USED of the old one stands still
  larder key disable AKIA...          # the old one: can be taken back by enable
  larder key remove AKIA...";

/// Access keys of users: list, add, rotate, disable and remove them. A user has two at most.
///
/// A secret is shown once, when its key is made; nobody can read it again.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Show the keys of a user, or of all, with when they were last used.
    List(OfArgs),
    /// Make a key and show it, this once.
    #[command(after_help = ADD_EXAMPLES)]
    Add(NewArgs),
    /// Make a second key beside the one there is, and say what to do with that.
    #[command(after_help = ROTATE_EXAMPLES)]
    Rotate(NewArgs),
    /// Let a key work no more, until it is enabled again.
    Disable(WhichArgs),
    /// Let a key that is disabled work again.
    Enable(WhichArgs),
    /// Remove a key, for ever.
    Remove(WhichArgs),
}

#[derive(Debug, Args)]
struct OfArgs {
    /// The user [default: all that the account has; the one who asks, if it is a user].
    user: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct NewArgs {
    /// The user [default: the one who asks].
    user: Option<String>,
    /// Print nothing but lines that put the key into a shell's environment.
    #[arg(long, conflicts_with = "json")]
    env: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// The access key, as `larder key list` shows it.
    #[arg(value_name = "ACCESS_KEY")]
    key: String,
    /// Whose it is [default: it is looked up].
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

/// A key; its secret is never shown again.
#[derive(Clone, Debug, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "called so in every answer and variable"
)]
pub(super) struct Key {
    pub(super) user: String,
    pub(super) access_key: String,
    /// `Active` or `Inactive`.
    pub(super) status: String,
    pub(super) created: String,
    /// `None`: never.
    pub(super) last_used: Option<String>,
}

pub(crate) fn run(args: &KeyArgs) -> Outcome {
    match &args.command {
        KeyCommand::List(args) => list(args),
        KeyCommand::Add(args) => add(args),
        KeyCommand::Rotate(args) => rotate(args),
        KeyCommand::Disable(args) => update(args, "Inactive"),
        KeyCommand::Enable(args) => update(args, "Active"),
        KeyCommand::Remove(args) => remove(args),
    }
}

/// The keys of a user; without a name, of the one who asks.
pub(super) fn of_user(client: &Client, user: Option<&str>) -> ApiResult<Vec<Key>> {
    let form = Form::iam("ListAccessKeys").with_some("UserName", user);
    let found = client.all(&form, "AccessKeyMetadata");
    let found = found.map_err(|error| error.or_hint(Kind::User.hint()))?;
    let mut keys = Vec::new();
    for key in &found {
        let access_key = key.get("AccessKeyId");
        let form = Form::iam("GetAccessKeyLastUsed").with("AccessKeyId", &*access_key);
        let last = client.ask(&form)?.get("AccessKeyLastUsed/LastUsedDate");
        keys.push(Key {
            user: key.get("UserName"),
            access_key,
            status: key.get("Status"),
            created: key.get("CreateDate"),
            last_used: Some(last).filter(|last| !last.is_empty()),
        });
    }
    Ok(keys)
}

fn list(args: &OfArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let keys = if args.user.is_some() || !is_root(&client)? {
        of_user(&client, args.user.as_deref())?
    } else {
        let users = entity::all(&client, Kind::User, None)?;
        let keys = users.iter().map(|user| of_user(&client, Some(&user.name)));
        keys.collect::<ApiResult<Vec<_>>>()?.concat()
    };
    if args.ask.json {
        return print_json(&json!({ "keys": keys }));
    }
    let mut table = Table::new([
        ("USER", Lean::Left),
        ("ACCESS KEY", Lean::Left),
        ("STATUS", Lean::Left),
        ("CREATED", Lean::Left),
        ("LAST USED", Lean::Left),
    ]);
    for key in keys {
        let last = key.last_used.map_or("never".to_owned(), |at| time(&at));
        let status = key.status.to_lowercase();
        table.row([key.user, key.access_key, status, time(&key.created), last]);
    }
    Ok(print(&table.text())?)
}

/// Whether the account itself asks, and not a user.
fn is_root(client: &Client) -> ApiResult<bool> {
    let who = client.ask(&Form::sts("GetCallerIdentity"))?;
    Ok(who.get("Arn").ends_with(":root"))
}

/// Makes a key.
pub(super) fn create(client: &Client, user: Option<&str>) -> ApiResult<Pair> {
    let form = Form::iam("CreateAccessKey").with_some("UserName", user);
    let made = client
        .ask(&form)
        .map_err(|error| error.or_hint(hint(user)))?;
    Ok(Pair::of_key(&made))
}

fn hint(user: Option<&str>) -> impl Fn(&str) -> Option<String> {
    let user = user.unwrap_or_default().to_owned();
    move |code| match code {
        "LimitExceeded" => Some(format!(
            "look by larder key list {user} which one is not used, and remove it by larder key remove"
        )),
        "ValidationError" => {
            Some("the root of an account has no keys of this kind: name a user".to_owned())
        }
        code => Kind::User.hint()(code),
    }
}

fn add(args: &NewArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let pair = create(&client, args.user.as_deref())?;
    tell(&client, args, &pair, "")
}

/// Shows a new key as it was asked for. `next` is for people.
fn tell(client: &Client, args: &NewArgs, pair: &Pair, next: &str) -> Outcome {
    if args.env {
        return Ok(pair.print_exports(&client.connection)?);
    }
    if args.ask.json {
        let mut json = pair.json();
        json["user"] = json!(args.user);
        return print_json(&json);
    }
    let text = facts([
        ("user", args.user.clone().unwrap_or_default()),
        ("access key", pair.access_key.clone()),
        ("secret key", pair.secret_key.clone()),
    ]);
    Ok(print(&(text + &how_to_use(client, pair) + next))?)
}

fn how_to_use(client: &Client, pair: &Pair) -> String {
    let exports = pair.exports(&client.connection);
    let lines = exports.lines().filter(|line| line.starts_with("export"));
    let lines: Vec<_> = lines.map(|line| format!("    {line}\n")).collect();
    format!(
        "Keep the secret: it is not shown again.\n\nFor aws-cli, SDKs and larder itself:\n\n{}",
        lines.concat()
    )
}

/// What to do with a new key.
pub(super) fn next(client: &Client, pair: &Pair, scope: &ScopeArgs, arns: &[String]) -> String {
    let Some(address) = scope.address() else {
        return how_to_use(client, pair);
    };
    let is_write_only = arns.iter().all(|arn| arn.ends_with("/LarderWriteOnly"));
    let example = if is_write_only {
        format!("aws s3 cp FILE {address}")
    } else {
        format!("aws s3 ls {address}")
    };
    format!("{}\nand then:\n\n    {example}\n", how_to_use(client, pair))
}

fn rotate(args: &NewArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let user = args.user.as_deref();
    let old = of_user(&client, user)?;
    if old.len() > 1 {
        return Err(two_already(&old));
    }
    let pair = create(&client, user)?;
    let next = match old.first() {
        None => String::new(),
        Some(Key {
            access_key, user, ..
        }) => format!(
            "\nThe old key {access_key} goes on working. Next:\n\
             \x20 1. give the new one to whatever uses the old one\n\
             \x20 2. larder key list {user}    until LAST USED of {access_key} stands still\n\
             \x20 3. larder key disable {access_key}    (larder key enable takes it back)\n\
             \x20 4. larder key remove {access_key}\n"
        ),
    };
    tell(&client, args, &pair, &next)
}

fn two_already(keys: &[Key]) -> Failure {
    let words = keys.iter().map(|key| {
        let last = key.last_used.as_ref();
        let last = last.map_or("never used".to_owned(), |at| {
            format!("last used {}", time(at))
        });
        format!("{} ({}, {last})", key.access_key, key.status.to_lowercase())
    });
    let words = words.collect::<Vec<_>>().join(" and ");
    format!(
        "no new key is made: there are two already, {words}, and no user has more; remove the one that is not used: larder key remove"
    )
    .into()
}

/// The name of whoever has a key.
fn owner(client: &Client, args: &WhichArgs) -> ApiResult<String> {
    if let Some(user) = &args.user {
        return Ok(user.clone());
    }
    let form = Form::iam("GetAccessKeyLastUsed").with("AccessKeyId", &*args.key);
    let found = client.ask(&form).map_err(|error| error.or_hint(unknown))?;
    Ok(found.get("UserName"))
}

fn unknown(code: &str) -> Option<String> {
    (code == "NoSuchEntity").then(|| "larder key list shows which there are".to_owned())
}

fn update(args: &WhichArgs, status: &str) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let (user, key) = (owner(&client, args)?, &args.key);
    let form = Form::iam("UpdateAccessKey")
        .with("UserName", &*user)
        .with("AccessKeyId", &**key)
        .with("Status", status);
    client.ask(&form).map_err(|error| error.or_hint(unknown))?;
    if args.ask.json {
        return print_json(&json!({ "user": user, "access_key": key, "status": status }));
    }
    let next = if status == "Active" {
        format!("key {key} of {user} works again\n")
    } else {
        format!(
            "key {key} of {user} works no more; larder key enable {key} takes it back, larder key remove {key} ends it\n"
        )
    };
    Ok(print(&next)?)
}

fn remove(args: &WhichArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let (user, key) = (owner(&client, args)?, &args.key);
    let form = Form::iam("DeleteAccessKey").with("UserName", &*user);
    let gone = client.ask(&form.with("AccessKeyId", &**key));
    gone.map_err(|error| error.or_hint(unknown))?;
    if args.ask.json {
        return print_json(&json!({ "user": user, "removed": key }));
    }
    Ok(print(&format!("key {key} of {user} is removed\n"))?)
}
