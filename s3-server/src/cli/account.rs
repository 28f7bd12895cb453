//! `larder account`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Outcome,
    admin_client::AdminClient,
    bounds::{Bounds, bound_of_bytes, bound_of_objects},
    connection::AskArgs,
    print, show,
    table::{Lean, Table, bytes},
};
use crate::admin::accounts::{
    ADD_PATH, AccountEntry, AccountList, AccountQuotaChange, NewKey, PATH, QUOTA_PATH, REMOVE_PATH,
    ROTATE_PATH,
};

/// List, add and remove the accounts (tenants) of a running server.
///
/// An account owns buckets, which no other account sees. Those of the file of --accounts are changed in the file; `add`, `rotate-key` and
/// `remove` are for accounts that the server keeps on its disks.
#[derive(Debug, Args)]
pub(super) struct AccountArgs {
    #[command(subcommand)]
    command: AccountCommand,
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Show all accounts with how much is in their buckets and how much may be, without their secrets.
    List(AskArgs),
    /// Add an account and show its key pair, this once.
    Add(AddArgs),
    /// Give an account a new key pair and show it, this once. The old one is void at once.
    RotateKey(WhichArgs),
    /// Remove an account that owns no buckets.
    Remove(WhichArgs),
    /// Set how much may be in all buckets of an account together. What is there stays; writes that would pass the quota get 403
    /// `QuotaExceeded`.
    #[command(
        after_help = "Example: larder account quota 123456789012 --bytes 2TiB --objects 10000000"
    )]
    Quota(QuotaArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// What it is called.
    name: String,
    /// Where its owner is reached.
    #[arg(long, default_value = "")]
    email: String,
    /// Its twelve digits [default: drawn].
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// Its twelve digits, as `larder account list` shows them.
    id: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct QuotaArgs {
    /// Its twelve digits, as `larder account list` shows them.
    id: String,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(args: &AccountArgs) -> Outcome {
    match &args.command {
        AccountCommand::List(args) => list(args),
        AccountCommand::Add(args) => {
            let body = json!({ "name": args.name, "email": args.email, "id": args.id });
            show_key(&args.ask, ADD_PATH, &body)
        }
        AccountCommand::RotateKey(args) => {
            show_key(&args.ask, ROTATE_PATH, &json!({ "id": args.id }))
        }
        AccountCommand::Quota(args) => quota(args),
        AccountCommand::Remove(args) => {
            let client = AdminClient::new(&args.ask.connection)?;
            let gone: AccountEntry = client.post(REMOVE_PATH, &json!({ "id": args.id }))?;
            if args.ask.json {
                return Ok(print(&(serde_json::to_string(&gone)? + "\n"))?);
            }
            let AccountEntry { id, name, .. } = gone;
            Ok(print(&format!("account {id} ({name}) is removed\n"))?)
        }
    }
}

fn show_key(ask: &AskArgs, path: &str, body: &serde_json::Value) -> Outcome {
    let key: NewKey = AdminClient::new(&ask.connection)?.post(path, body)?;
    if ask.json {
        return Ok(print(&(serde_json::to_string(&key)? + "\n"))?);
    }
    let AccountEntry {
        id,
        name,
        access_key,
        ..
    } = &key.account;
    Ok(print(&format!(
        "account     {id} ({name})\n\
         access key  {access_key}\n\
         secret key  {}\n\
         Keep the secret: it is not shown again.\n",
        key.secret_key
    ))?)
}

fn quota(args: &QuotaArgs) -> Outcome {
    let change = AccountQuotaChange {
        id: args.id.clone(),
        max_bytes: args.bounds.bytes(),
        max_objects: args.bounds.objects,
    };
    let client = AdminClient::new(&args.ask.connection)?;
    let account: AccountEntry = client.post(QUOTA_PATH, &change)?;
    if args.ask.json {
        return Ok(print(&(serde_json::to_string(&account)? + "\n"))?);
    }
    Ok(print(&text(&AccountList {
        accounts: vec![account],
    }))?)
}

fn list(args: &AskArgs) -> Outcome {
    let answer = AdminClient::new(&args.connection)?.get_bytes(PATH)?;
    show(&answer, args.json, text)
}

fn text(list: &AccountList) -> String {
    let mut table = Table::new([
        ("ID", Lean::Left),
        ("NAME", Lean::Left),
        ("EMAIL", Lean::Left),
        ("ACCESS KEY", Lean::Left),
        ("FROM", Lean::Left),
        ("BUCKETS", Lean::Right),
        ("OBJECTS", Lean::Right),
        ("OF", Lean::Right),
        ("SIZE", Lean::Right),
        ("OF", Lean::Right),
    ]);
    for account in &list.accounts {
        let account = account.clone();
        table.row([
            account.id,
            account.name,
            account.email,
            account.access_key,
            account.origin,
            account.buckets.to_string(),
            account.objects.to_string(),
            bound_of_objects(account.max_objects),
            bytes(account.bytes),
            bound_of_bytes(account.max_bytes),
        ]);
    }
    table.text()
}
