//! `larder sts`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{client::Client, document, exports::Pair, form::Form};
use crate::cli::{
    Outcome,
    api_error::ApiResult,
    connection::{AskArgs, ConnectionArgs},
    element::Element,
    print, print_json,
    table::facts,
};

/// Longer than any token of a provider that is taken.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

const EXAMPLES: &str = "\
Credentials are printed as lines for a shell, or by --json:
  eval \"$(larder sts assume-role restore)\"
  aws s3 ls s3://backups
  larder sts whoami";

/// Who asks, and temporary credentials: of roles, of users, of those whom an identity provider vouches for.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StsArgs {
    #[command(subcommand)]
    command: StsCommand,
}

#[derive(Debug, Subcommand)]
enum StsCommand {
    /// Show who asks: the account, the user or role, and where the key was found.
    Whoami(AskArgs),
    /// Take a role on, and print credentials of it.
    #[command(after_help = EXAMPLES)]
    AssumeRole(RoleArgs),
    /// Print credentials of the user who asks that end; they may not call IAM.
    Session(SessionArgs),
    /// Take a role on with a token of an identity provider, without any key.
    WebIdentity(WebArgs),
}

#[derive(Debug, Args)]
struct RoleArgs {
    /// The role's name, or its ARN.
    role: String,
    /// What the session calls itself.
    #[arg(long, value_name = "NAME", default_value = "larder")]
    session_name: String,
    /// How long they last, in seconds, from 900 on [default: an hour].
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,
    /// What the role's trust policy may ask for.
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct SessionArgs {
    /// How long they last, in seconds, from 900 to 129600 [default: 12 hours].
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct WebArgs {
    /// The role's ARN.
    #[arg(long, env = "AWS_ROLE_ARN", value_name = "ARN")]
    role: String,
    /// The file that has the token; `-` for standard input.
    #[arg(long, env = "AWS_WEB_IDENTITY_TOKEN_FILE", value_name = "FILE")]
    token_file: PathBuf,
    /// What the session calls itself.
    #[arg(long, value_name = "NAME", default_value = "larder")]
    session_name: String,
    /// How long they last, in seconds, from 900 on [default: an hour].
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,
    #[command(flatten)]
    ask: AskArgs,
}

pub(crate) fn run(args: &StsArgs) -> Outcome {
    match &args.command {
        StsCommand::Whoami(args) => whoami(args),
        StsCommand::AssumeRole(args) => assume_role(args),
        StsCommand::Session(args) => session(args),
        StsCommand::WebIdentity(args) => web_identity(args),
    }
}

/// The number of the account that asks.
pub(super) fn account(client: &Client) -> ApiResult<String> {
    let who = client.ask(&Form::sts("GetCallerIdentity"))?;
    Ok(who.get("Account"))
}

fn whoami(args: &AskArgs) -> Outcome {
    let client = Client::new(&args.connection)?;
    let who = client.ask(&Form::sts("GetCallerIdentity"))?;
    let identity = client.connection.identity.as_ref();
    let access_key = identity.map_or("", |identity| &identity.access_key);
    let origin = identity.map_or("", |identity| identity.origin);
    if args.json {
        return print_json(&json!({
            "account": who.get("Account"),
            "arn": who.get("Arn"),
            "id": who.get("UserId"),
            "access_key": access_key,
            "origin": origin,
        }));
    }
    Ok(print(&facts([
        ("account", who.get("Account")),
        ("arn", who.get("Arn")),
        ("id", who.get("UserId")),
        ("access key", format!("{access_key}, from {origin}")),
        ("endpoint", client.connection.base()),
    ]))?)
}

/// Prints the credentials of an answer.
fn give(client: &Client, answer: &Element, as_json: bool) -> Outcome {
    let pair = Pair::of_session(answer);
    if as_json {
        let mut json = pair.json();
        if let Some(user) = answer.at("AssumedRoleUser") {
            json["arn"] = user.get("Arn").into();
        }
        return print_json(&json);
    }
    Ok(pair.print_exports(&client.connection)?)
}

fn seconds(form: Form, duration: Option<u32>) -> Form {
    let duration = duration.map(|seconds| seconds.to_string());
    form.with_some("DurationSeconds", duration.as_deref())
}

fn assume_role(args: &RoleArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let arn = if args.role.starts_with("arn:") {
        args.role.clone()
    } else {
        format!("arn:aws:iam::{}:role/{}", account(&client)?, args.role)
    };
    let form = Form::sts("AssumeRole")
        .with("RoleArn", arn)
        .with("RoleSessionName", &*args.session_name)
        .with_some("ExternalId", args.external_id.as_deref());
    let answer = client.ask(&seconds(form, args.duration))?;
    give(&client, &answer, args.ask.json)
}

fn session(args: &SessionArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let form = Form::sts("GetSessionToken");
    let answer = client.ask(&seconds(form, args.duration))?;
    give(&client, &answer, args.ask.json)
}

fn web_identity(args: &WebArgs) -> Outcome {
    let file = &args.token_file;
    let token = document::contents(file, MAX_TOKEN_BYTES);
    let token = token.map_err(|error| format!("the token in {}: {error}", file.display()))?;
    let client = unsigned(&args.ask.connection)?;
    let form = Form::sts("AssumeRoleWithWebIdentity")
        .with("RoleArn", &*args.role)
        .with("RoleSessionName", &*args.session_name)
        .with("WebIdentityToken", token.trim());
    let answer = client.ask(&seconds(form, args.duration));
    let answer = answer.map_err(|error| error.or_hint(hint))?;
    give(&client, &answer, args.ask.json)
}

fn unsigned(args: &ConnectionArgs) -> ApiResult<Client> {
    Client::anonymous(args)
}

fn hint(code: &str) -> Option<String> {
    let hint = match code {
        "AccessDenied" => {
            "look at the role's trust policy (larder role show): it has to name the provider, and the subject and audience of the token"
        }
        "InvalidIdentityToken" => {
            "look at larder provider list: it has to have the token's issuer, with its audience"
        }
        "ExpiredTokenException" => "the token is too old: get a new one of the provider",
        "IDPCommunicationError" => "the server has to reach the provider: see its log",
        _ => return None,
    };
    Some(hint.to_owned())
}
