//! `larder group`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    client::Client,
    entity::{self, Entity, Kind, json_of},
    form::Form,
    time,
    user::{self, ListArgs, RemoveArgs, WhichArgs},
};
use crate::cli::{Outcome, connection::AskArgs, print, print_json, table::facts};

/// Groups of users: list, add, show and remove them, and say who belongs to them.
///
/// What a policy of a group allows, it allows to all its users: larder policy attach POLICY --group NAME
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// Show all groups.
    List(ListArgs),
    /// Show who belongs to a group, and its policies.
    Show(WhichArgs),
    /// Add a group.
    Add(AddArgs),
    /// Remove a group. What hangs on it (users, policies) is said first, and is let go by --force.
    Remove(RemoveArgs),
    /// Let a user belong to a group.
    AddUser(MemberArgs),
    /// Let a user belong to a group no more.
    RemoveUser(MemberArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// What it is called.
    name: String,
    /// Where it is kept among others, such as /backup/.
    #[arg(long)]
    path: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct MemberArgs {
    /// The group's name.
    group: String,
    /// The user's name.
    user: String,
    #[command(flatten)]
    ask: AskArgs,
}

pub(crate) fn run(args: &GroupArgs) -> Outcome {
    match &args.command {
        GroupCommand::List(args) => user::list(Kind::Group, args),
        GroupCommand::Show(args) => show(args),
        GroupCommand::Add(args) => add(args),
        GroupCommand::Remove(args) => user::remove(Kind::Group, args),
        GroupCommand::AddUser(args) => change(args, "AddUserToGroup", "is in"),
        GroupCommand::RemoveUser(args) => change(args, "RemoveUserFromGroup", "is no more in"),
    }
}

fn show(args: &WhichArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let group = entity::one(&client, Kind::Group, &args.name)?;
    let form = Form::iam("GetGroup").with("GroupName", &*args.name);
    let users = client.all(&form, "Users")?;
    let users: Vec<_> = users.iter().map(|user| user.get("UserName")).collect();
    let attached = entity::attached(&client, Kind::Group, &args.name)?;
    let inline = entity::inline(&client, Kind::Group, &args.name)?;
    if args.ask.json {
        let mut json = json_of(&group, &attached, &inline);
        json["users"] = json!(users);
        return print_json(&json);
    }
    let policies: Vec<_> = attached.into_iter().map(|policy| policy.name).collect();
    Ok(print(&facts([
        ("group", group.name),
        ("arn", group.arn),
        ("created", time(&group.created)),
        ("users", users.join(", ")),
        ("policies", policies.join(", ")),
        ("its own", inline.join(", ")),
    ]))?)
}

fn add(args: &AddArgs) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let form = Form::iam("CreateGroup").with("GroupName", &*args.name);
    let made = client.ask(&form.with_some("Path", args.path.as_deref()));
    let made = made.map_err(|error| error.or_hint(Kind::Group.hint()))?;
    let group = Entity::of(Kind::Group, &made.at("Group").cloned().unwrap_or_default());
    if args.ask.json {
        return print_json(&json!(group));
    }
    let Entity { name, arn, .. } = group;
    Ok(print(&format!(
        "group {name} is there: {arn}\n\
         Next: larder policy attach POLICY --group {name}, larder group add-user {name} USER\n"
    ))?)
}

fn change(args: &MemberArgs, action: &str, now: &str) -> Outcome {
    let client = Client::new(&args.ask.connection)?;
    let form = Form::iam(action).with("GroupName", &*args.group);
    let hint = |code: &str| {
        let hint = "larder group list and larder user list show which there are";
        (code == "NoSuchEntity").then(|| hint.to_owned())
    };
    let done = client.ask(&form.with("UserName", &*args.user));
    done.map_err(|error| error.or_hint(hint))?;
    if args.ask.json {
        return print_json(&json!({ "group": args.group, "user": args.user }));
    }
    Ok(print(&format!(
        "user {} {now} group {}\n",
        args.user, args.group
    ))?)
}
