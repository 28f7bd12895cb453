//! `larder role`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::Client,
    document,
    entity::{self, Entity, Kind, json_of},
    form::Form,
    need, provider,
    scope::ScopeArgs,
    sts::account,
    time,
    user::{self, ListArgs, RemoveArgs, WhichArgs},
};
use crate::cli::{
    Failure, Outcome, api_error::ApiResult, connection::AskArgs, print, print_json, table::facts,
};

const ADD_EXAMPLES: &str = "\
Examples:
  For the pods of a Kubernetes service account (larder provider add comes first):
    larder role add backup --provider https://oidc.example/cluster --service-account db/backup --audience larder \\
        --bucket backups --prefix db1/ --policy append-only

  For a user of the account, who takes it on by larder sts assume-role restore:
    larder role add restore --user alice --bucket backups --policy read-only

  For whoever a trust policy lets:
    larder role add restore --trust trust.json --policy AmazonS3ReadOnlyAccess";

/// Roles, which somebody takes on for a while: list, add, show and remove them.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    #[command(subcommand)]
    command: RoleCommand,
}

#[derive(Debug, Subcommand)]
enum RoleCommand {
    /// Show all roles.
    List(ListArgs),
    /// Show a role: who may take it on, and its policies.
    Show(WhichArgs),
    /// Add a role.
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<AddArgs>),
    /// Remove a role; its sessions end. What hangs on it (policies) is said first, and goes with it by --force.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("who").required(true).args(["trust", "provider", "user"])))]
struct AddArgs {
    /// What it is called.
    name: String,
    /// Who may take it on: a file with a trust policy; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Who may take it on: those whom this identity provider vouches for, by its address or ARN.
    #[arg(long, value_name = "URL", requires = "audience")]
    provider: Option<String>,
    /// Of them, the pods of this Kubernetes service account.
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "provider")]
    service_account: Option<String>,
    /// Of them, this subject.
    #[arg(
        long,
        value_name = "SUBJECT",
        requires = "provider",
        conflicts_with = "service_account"
    )]
    subject: Option<String>,
    /// The audience of their tokens.
    #[arg(long, requires = "provider")]
    audience: Option<String>,
    /// Who may take it on: a user of the account by its name, or anybody by an ARN.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// The longest session, in seconds, from 3600 to 43200 [default: 3600].
    #[arg(long, value_name = "SECONDS")]
    max_session: Option<u32>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    ask: AskArgs,
}

pub(crate) fn run(args: &RoleArgs) -> Outcome {
    match &args.command {
        RoleCommand::List(args) => user::list(Kind::Role, args),
        RoleCommand::Show(args) => show(args),
        RoleCommand::Add(args) => add(args),
        RoleCommand::Remove(args) => user::remove(Kind::Role, args),
    }
}

fn show(args: &WhichArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let role = entity::one(&client, Kind::Role, &args.name)?;
    let attached = entity::attached(&client, Kind::Role, &args.name)?;
    let inline = entity::inline(&client, Kind::Role, &args.name)?;
    if args.ask.json {
        return print_json(&json_of(&role, &attached, &inline));
    }
    let tags = role.tags();
    let policies: Vec<_> = attached.into_iter().map(|policy| policy.name).collect();
    let longest = role.max_session_seconds;
    let text = facts([
        ("role", role.name),
        ("arn", role.arn),
        ("for", role.description),
        ("created", time(&role.created)),
        ("tags", tags),
        ("policies", policies.join(", ")),
        ("its own", inline.join(", ")),
        ("boundary", role.boundary.unwrap_or_default()),
        (
            "sessions",
            longest.map_or(String::new(), |s| format!("of {s} s at most")),
        ),
    ]);
    let trust = role.trust.map_or(String::new(), |trust| {
        format!("\nWho may take it on:\n{}", document::pretty(&trust))
    });
    Ok(print(&(text + &trust))?)
}

/// The trust policy that was asked for.
fn trust(client: &Client, args: &AddArgs) -> Result<String, Failure> {
    if let Some(file) = &args.trust {
        return document::read(file);
    }
    let statement = match (&args.user, &args.provider) {
        (Some(user), _) => json!({
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": { "AWS": principal(client, user)? },
        }),
        (None, Some(provider)) => of_provider(client, args, provider)?,
        (None, None) => {
            return Err(need(
                "say who may take it on: --trust, --provider or --user",
            ));
        }
    };
    let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
    Ok(policy.to_string())
}

fn principal(client: &Client, user: &str) -> ApiResult<String> {
    if user.starts_with("arn:") {
        return Ok(user.to_owned());
    }
    Ok(entity::one(client, Kind::User, user)?.arn)
}

/// Those whom a provider vouches for: never all of them, who might be anybody.
fn of_provider(client: &Client, args: &AddArgs, provider: &str) -> Result<Value, Failure> {
    let subject = match (&args.service_account, &args.subject) {
        (Some(account), _) => {
            let parts = account.split_once('/');
            let (namespace, name) = parts.ok_or_else(|| {
                need("write --service-account as NAMESPACE/NAME, such as db/backup")
            })?;
            format!("system:serviceaccount:{namespace}:{name}")
        }
        (None, Some(subject)) => subject.clone(),
        (None, None) => {
            return Err(need(
                "say for whom with --service-account NAMESPACE/NAME or --subject: without, everybody whom the provider vouches for could take the role on",
            ));
        }
    };
    let name = provider::name_of(provider);
    let audience = args.audience.clone().unwrap_or_default();
    let arn = format!("arn:aws:iam::{}:oidc-provider/{name}", account(client)?);
    Ok(json!({
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": { "Federated": arn },
        "Condition": { "StringEquals": {
            format!("{name}:sub"): subject,
            format!("{name}:aud"): audience,
        }},
    }))
}

fn add(args: &AddArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let scope = args.scope.resolve(&client)?;
    let longest = args.max_session.map(|seconds| seconds.to_string());
    let form = Form::iam("CreateRole")
        .with("RoleName", &*args.name)
        .with("AssumeRolePolicyDocument", trust(&client, args)?)
        .with_some("Description", args.description.as_deref())
        .with_some("MaxSessionDuration", longest.as_deref());
    let made = client.ask(&scope.fill(form));
    let made = made.map_err(|error| error.or_hint(Kind::Role.hint()))?;
    for arn in &scope.arns {
        if let Err(error) = entity::attach(&client, Kind::Role, &args.name, arn) {
            return Err(entity::take_back(&client, Kind::Role, &args.name, &error));
        }
    }
    let role = Entity::of(Kind::Role, &made.at("Role").cloned().unwrap_or_default());
    if args.ask.json {
        return print_json(&json!({ "role": role, "policies": scope.arns }));
    }
    let there = format!("role {} is there: {}\n", role.name, role.arn);
    let notes = user::notes(&client, &args.scope).into_iter();
    let notes: Vec<_> = notes.map(|note| note + "\n").collect();
    Ok(print(
        &(there + &notes.concat() + &next(&client, args, &role)),
    )?)
}

fn next(client: &Client, args: &AddArgs, role: &Entity) -> String {
    if args.provider.is_some() {
        let audience = args.audience.as_deref().unwrap_or_default();
        return format!(
            "Next, for pods with a projected token of the audience {audience}:\n\n\
             \x20   AWS_ROLE_ARN={}\n\
             \x20   AWS_WEB_IDENTITY_TOKEN_FILE=/path/to/the/token\n\
             \x20   AWS_ENDPOINT_URL={}\n",
            role.arn,
            client.connection.base()
        );
    }
    format!("Next: larder sts assume-role {}\n", role.arn)
}
