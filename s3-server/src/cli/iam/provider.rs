//! `larder provider`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{client::Client, form::Form, sts::account};
use crate::cli::{
    Outcome,
    api_error::ApiResult,
    connection::AskArgs,
    print, print_json,
    table::{Lean, Table},
};

/// Identity providers that vouch for others, such as a Kubernetes cluster for its service accounts: list, add and remove them.
#[derive(Debug, Args)]
pub(crate) struct ProviderArgs {
    #[command(subcommand)]
    command: ProviderCommand,
}

#[derive(Debug, Subcommand)]
enum ProviderCommand {
    /// Show all providers with the audiences of their tokens.
    List(AskArgs),
    /// Add a provider.
    Add(AddArgs),
    /// Remove a provider. Roles that trust it stay, and nobody can take them on by it.
    Remove(WhichArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its address, as tokens name their issuer: https://…
    url: String,
    /// An audience that tokens may be for. May be given several times.
    #[arg(long = "audience", value_name = "AUDIENCE", required = true)]
    audiences: Vec<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// Its address or ARN.
    url: String,
    #[command(flatten)]
    ask: AskArgs,
}

pub(crate) fn run(args: &ProviderArgs) -> Outcome {
    match &args.command {
        ProviderCommand::List(args) => list(args),
        ProviderCommand::Add(args) => add(args),
        ProviderCommand::Remove(args) => remove(args),
    }
}

/// Its address without the scheme, as policies call it.
pub(super) fn name_of(url: &str) -> &str {
    let name = url.split_once(":oidc-provider/").map(|(_, name)| name);
    let name = name.or_else(|| url.split_once("://").map(|(_, name)| name));
    name.unwrap_or(url).trim_end_matches('/')
}

fn arn_of(client: &Client, url: &str) -> ApiResult<String> {
    let account = account(client)?;
    Ok(format!(
        "arn:aws:iam::{account}:oidc-provider/{}",
        name_of(url)
    ))
}

fn hint(code: &str) -> Option<String> {
    let hint = match code {
        "NoSuchEntity" | "EntityAlreadyExists" => "larder provider list shows which there are",
        "InvalidInput" => "for providers without TLS on loopback the server needs --oidc-http",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn list(args: &AskArgs) -> Outcome {
    let client = Client::new(&args.connection)?;
    let found = client.ask(&Form::iam("ListOpenIDConnectProviders"))?;
    let mut rows = Vec::new();
    for provider in found.list("OpenIDConnectProviderList") {
        let arn = provider.get("Arn");
        let form = Form::iam("GetOpenIDConnectProvider");
        let shown = client.ask(&form.with("OpenIDConnectProviderArn", &*arn))?;
        let audiences = shown.list("ClientIDList").iter();
        let audiences: Vec<_> = audiences.map(|one| one.text().to_owned()).collect();
        rows.push((shown.get("Url"), audiences, arn));
    }
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(url, audiences, arn)| json!({ "url": url, "audiences": audiences, "arn": arn }))
            .collect();
        return print_json(&json!({ "providers": rows }));
    }
    let mut table = Table::new([
        ("PROVIDER", Lean::Left),
        ("AUDIENCES", Lean::Left),
        ("ARN", Lean::Left),
    ]);
    for (url, audiences, arn) in rows {
        table.row([url, audiences.join(", "), arn]);
    }
    Ok(print(&table.text())?)
}

fn add(args: &AddArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let form = Form::iam("CreateOpenIDConnectProvider").with("Url", &*args.url);
    let form = form.list("ClientIDList", args.audiences.iter().map(String::as_str));
    let made = client.ask(&form).map_err(|error| error.or_hint(hint))?;
    let arn = made.get("OpenIDConnectProviderArn");
    if args.ask.json {
        return print_json(&json!({ "arn": arn }));
    }
    let (url, audience) = (&args.url, &args.audiences[0]);
    Ok(print(&format!(
        "provider {arn} is there\n\
         Next: larder role add NAME --provider {url} --audience {audience} --service-account NAMESPACE/NAME --bucket BUCKET --policy append-only\n"
    ))?)
}

fn remove(args: &WhichArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let arn = arn_of(&client, &args.url)?;
    let form = Form::iam("DeleteOpenIDConnectProvider");
    let gone = client.ask(&form.with("OpenIDConnectProviderArn", &*arn));
    gone.map_err(|error| error.or_hint(hint))?;
    if args.ask.json {
        return print_json(&json!({ "removed": arn }));
    }
    Ok(print(&format!("provider {arn} is removed\n"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_called_by_its_address_or_arn() {
        for url in [
            "https://oidc.example/id/",
            "oidc.example/id",
            "arn:aws:iam::1:oidc-provider/oidc.example/id",
        ] {
            assert_eq!(name_of(url), "oidc.example/id", "{url}");
        }
    }
}
