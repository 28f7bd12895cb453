//! `larder user`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Tag,
    client::Client,
    entity::{self, Entity, Kind, json_of},
    exports::Pair,
    form::Form,
    key::{self, Key},
    scope::{ScopeArgs, name_of},
    time,
};
use crate::cli::{
    Failure, Outcome,
    api_error::ApiResult,
    connection::AskArgs,
    print, print_json,
    s3_client::S3Client,
    table::{Lean, Table, facts},
};

const ADD_EXAMPLES: &str = "\
Examples:
  A backup job that can never overwrite or delete what it wrote, with a key for it:
    larder user add backup --bucket backups --prefix db1/ --policy append-only --key

  The same, straight into this shell:
    eval \"$(larder user add backup --bucket backups --prefix db1/ --policy append-only --env)\"

  Somebody who administers the account:
    larder user add alice --policy AdministratorAccess --key";

/// Users of the account: list, add, show, tag and remove them.
///
/// A user belongs to the account whose credentials ask, and may do what its policies and those of its groups say.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Show all users.
    List(ListArgs),
    /// Show all about a user: keys and when they were last used, groups, policies, tags.
    Show(WhichArgs),
    /// Add a user; with --key also an access key for it, shown this once.
    #[command(after_help = ADD_EXAMPLES)]
    Add(AddArgs),
    /// Remove a user. What hangs on it (keys, groups, policies) is said first, and goes with it by --force.
    Remove(RemoveArgs),
    /// Set and remove tags of a user, and show them.
    Tag(TagArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those below this path, such as /backup/.
    #[arg(long)]
    pub(super) path: Option<String>,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct WhichArgs {
    /// Its name.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Its name.
    pub(super) name: String,
    /// With all that hangs on it. Without this, the refusal says what that is.
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// What it is called.
    name: String,
    #[command(flatten)]
    scope: ScopeArgs,
    /// A group that it joins. May be given several times.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Make an access key for it and show it, this once.
    #[arg(long)]
    key: bool,
    /// Print nothing but lines that put the new key into a shell's environment; makes one.
    #[arg(long, conflicts_with = "json")]
    env: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct TagArgs {
    /// The user's name.
    name: String,
    /// Tags to set.
    #[arg(value_name = "KEY=VALUE")]
    tags: Vec<Tag>,
    /// A tag to remove. May be given several times.
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    #[command(flatten)]
    ask: AskArgs,
}

pub(crate) fn run(args: &UserArgs) -> Outcome {
    match &args.command {
        UserCommand::List(args) => list(Kind::User, args),
        UserCommand::Show(args) => show(args),
        UserCommand::Add(args) => add(args),
        UserCommand::Remove(args) => remove(Kind::User, args),
        UserCommand::Tag(args) => tag(args),
    }
}

/// Users, groups or roles in a table.
pub(super) fn list(kind: Kind, args: &ListArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let all = entity::all(&client, kind, args.path.as_deref())?;
    if args.ask.json {
        return print_json(&json!({ format!("{}s", kind.command()): all }));
    }
    let mut table = Table::new([
        ("NAME", Lean::Left),
        ("CREATED", Lean::Left),
        ("ARN", Lean::Left),
    ]);
    for Entity {
        name, created, arn, ..
    } in all
    {
        table.row([name, time(&created), arn]);
    }
    Ok(print(&table.text())?)
}

/// Removes a user, group or role.
pub(super) fn remove(kind: Kind, args: &RemoveArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let text = entity::remove(&client, kind, &args.name, args.force)?;
    if args.ask.json {
        return print_json(&json!({ "removed": args.name }));
    }
    Ok(print(&text)?)
}

fn show(args: &WhichArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let user = entity::one(&client, Kind::User, &args.name)?;
    let attached = entity::attached(&client, Kind::User, &args.name)?;
    let inline = entity::inline(&client, Kind::User, &args.name)?;
    let groups = groups(&client, &args.name)?;
    let keys = key::of_user(&client, Some(&args.name))?;
    if args.ask.json {
        let mut json = json_of(&user, &attached, &inline);
        json["groups"] = json!(groups);
        json["keys"] = json!(keys);
        return print_json(&json);
    }
    let policies: Vec<_> = attached.iter().map(|p| p.name.clone()).collect();
    let mut rows = vec![
        ("user", user.name.clone()),
        ("arn", user.arn.clone()),
        ("created", time(&user.created)),
        ("tags", user.tags()),
        ("groups", groups.join(", ")),
        ("policies", policies.join(", ")),
        ("its own", inline.join(", ")),
        ("boundary", user.boundary.clone().unwrap_or_default()),
    ];
    rows.extend(keys.iter().map(|key| ("key", key.words())));
    let next = if keys.is_empty() {
        format!("It has no access key: larder key add {}\n", user.name)
    } else {
        String::new()
    };
    Ok(print(&(facts(rows) + &next))?)
}

fn groups(client: &Client, name: &str) -> ApiResult<Vec<String>> {
    let form = Form::iam("ListGroupsForUser").with("UserName", name);
    let found = client.all(&form, "Groups")?;
    Ok(found.iter().map(|group| group.get("GroupName")).collect())
}

/// What came of `larder user add`.
struct Added {
    user: Entity,
    arns: Vec<String>,
    pair: Option<Pair>,
}

fn add(args: &AddArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let added = make(&client, args)?;
    if let Some(pair) = added.pair.as_ref().filter(|_| args.env) {
        return Ok(pair.print_exports(&client.connection)?);
    }
    if args.ask.json {
        return print_json(&added.json());
    }
    Ok(print(&added.text(&client, args))?)
}

/// Makes a user and all that was asked for with it, or nothing.
fn make(client: &Client, args: &AddArgs) -> Result<Added, Failure> {
    let scope = args.scope.resolve(client)?;
    let form = scope.fill(Form::iam("CreateUser").with("UserName", &*args.name));
    let made = client.ask(&form);
    let made = made.map_err(|error| error.or_hint(Kind::User.hint()))?;
    let user = made.at("User").cloned().unwrap_or_default();
    let rest = || -> ApiResult<Option<Pair>> {
        for arn in &scope.arns {
            entity::attach(client, Kind::User, &args.name, arn)?;
        }
        for group in &args.groups {
            let form = Form::iam("AddUserToGroup").with("UserName", &*args.name);
            let joined = client.ask(&form.with("GroupName", &**group));
            joined.map_err(|error| error.or_hint(Kind::Group.hint()))?;
        }
        let wants_key = args.key || args.env;
        wants_key
            .then(|| key::create(client, Some(&args.name)))
            .transpose()
    };
    match rest() {
        Ok(pair) => Ok(Added {
            user: Entity::of(Kind::User, &user),
            arns: scope.arns,
            pair,
        }),
        Err(error) => Err(entity::take_back(client, Kind::User, &args.name, &error)),
    }
}

impl Added {
    fn json(&self) -> Value {
        let mut json = json!({ "user": self.user, "policies": self.arns });
        if let Some(pair) = &self.pair {
            json["key"] = pair.json();
        }
        json
    }

    fn text(&self, client: &Client, args: &AddArgs) -> String {
        let name = &self.user.name;
        let policies: Vec<_> = self.arns.iter().map(|arn| name_of(arn)).collect();
        let of_pair = |of: fn(&Pair) -> &String| self.pair.as_ref().map(of).cloned();
        let mut text = vec![facts([
            ("user", name.clone()),
            ("arn", self.user.arn.clone()),
            ("policy", policies.join(", ")),
            ("for", args.scope.address().unwrap_or_default()),
            ("groups", args.groups.join(", ")),
            (
                "access key",
                of_pair(|pair| &pair.access_key).unwrap_or_default(),
            ),
            (
                "secret key",
                of_pair(|pair| &pair.secret_key).unwrap_or_default(),
            ),
        ])];
        for note in notes(client, &args.scope) {
            text.push(format!("\n{note}\n"));
        }
        match &self.pair {
            Some(pair) => text.push(key::next(client, pair, &args.scope, &self.arns)),
            None => text.push(format!("\nNext: a key for it: larder key add {name}\n")),
        }
        if self.arns.is_empty() && args.groups.is_empty() {
            text.push(format!(
                "\nIt may do nothing yet: larder policy attach POLICY --user {name} (larder policy list shows which there are)\n"
            ));
        }
        text.concat()
    }
}

/// What somebody has to know about a scope.
pub(super) fn notes(client: &Client, scope: &ScopeArgs) -> Vec<String> {
    let mut notes: Vec<_> = scope.warning().into_iter().collect();
    if let Some(bucket) = &scope.bucket
        && S3Client::is_missing(&client.connection, bucket)
    {
        notes.push(format!(
            "There is no bucket {bucket} yet: larder bucket add {bucket}"
        ));
    }
    notes
}

fn tag(args: &TagArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    if !args.tags.is_empty() {
        let form = Form::iam("TagUser").with("UserName", &*args.name);
        let done = client.ask(&form.tags(&args.tags));
        done.map_err(|error| error.or_hint(Kind::User.hint()))?;
    }
    if !args.remove.is_empty() {
        let form = Form::iam("UntagUser").with("UserName", &*args.name);
        let keys = args.remove.iter().map(String::as_str);
        let done = client.ask(&form.list("TagKeys", keys));
        done.map_err(|error| error.or_hint(Kind::User.hint()))?;
    }
    let user = entity::one(&client, Kind::User, &args.name)?;
    if args.ask.json {
        return print_json(&json!(user));
    }
    let mut table = Table::new([("TAG", Lean::Left), ("VALUE", Lean::Left)]);
    for Tag { key, value } in user.tags {
        table.row([key, value]);
    }
    Ok(print(&table.text())?)
}

/// An access key in words.
impl Key {
    fn words(&self) -> String {
        let last = self.last_used.as_ref();
        let last = last.map_or("never used".to_owned(), |at| {
            format!("last used {}", time(at))
        });
        format!("{} {}, {last}", self.access_key, self.status.to_lowercase())
    }
}
