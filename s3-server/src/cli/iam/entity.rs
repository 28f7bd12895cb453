//! What users, groups and roles have in common: how they are asked for, which policies they have, and how they go.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Tag, client::Client, count, document::decoded, form::Form};
use crate::cli::{
    Failure,
    api_error::{ApiError, ApiResult},
    element::Element,
};

/// What kind of identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
    Role,
}

impl Kind {
    /// As actions and parameters call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
        }
    }

    /// As commands call it.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    /// `verb` and the kind as an action about one of them, such as `GetUser`; `thing` comes after.
    pub(super) fn ask(self, verb: &str, thing: &str, name: &str) -> Form {
        let word = self.word();
        Form::iam(&format!("{verb}{word}{thing}")).with(format!("{word}Name"), name)
    }

    /// What to do where there is none of this name, or one already.
    pub(super) fn hint(self) -> impl Fn(&str) -> Option<String> {
        move |code| {
            let command = self.command();
            match code {
                "NoSuchEntity" => Some(format!("larder {command} list shows which there are")),
                "EntityAlreadyExists" => Some(format!(
                    "take another name, or look at it by larder {command} show"
                )),
                _ => None,
            }
        }
    }
}

/// A user, group or role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entity {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) created: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) boundary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trust: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_session_seconds: Option<u64>,
    #[serde(serialize_with = "as_map")]
    pub(super) tags: Vec<Tag>,
}

fn as_map<S: serde::Serializer>(tags: &[Tag], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(tags.iter().map(|tag| (&tag.key, &tag.value)))
}

impl Entity {
    pub(super) fn of(kind: Kind, element: &Element) -> Self {
        let word = kind.word();
        let some = |path: &str| Some(element.get(path)).filter(|text| !text.is_empty());
        let tags = element.list("Tags").iter().map(|tag| Tag {
            key: tag.get("Key"),
            value: tag.get("Value"),
        });
        Self {
            name: element.get(&format!("{word}Name")),
            arn: element.get("Arn"),
            path: element.get("Path"),
            id: element.get(&format!("{word}Id")),
            created: element.get("CreateDate"),
            description: element.get("Description"),
            boundary: some("PermissionsBoundary/PermissionsBoundaryArn"),
            trust: some("AssumeRolePolicyDocument").map(|text| decoded(&text)),
            max_session_seconds: some("MaxSessionDuration").and_then(|text| text.parse().ok()),
            tags: tags.collect(),
        }
    }

    /// Its tags, comma after comma.
    pub(super) fn tags(&self) -> String {
        let tags: Vec<_> = self.tags.iter().map(ToString::to_string).collect();
        tags.join(", ")
    }
}

/// All of a kind, by name.
pub(super) fn all(client: &Client, kind: Kind, path: Option<&str>) -> ApiResult<Vec<Entity>> {
    let list = format!("{}s", kind.word());
    let form = Form::iam(&format!("List{list}")).with_some("PathPrefix", path);
    let found = client.all(&form, &list)?;
    Ok(found.iter().map(|found| Entity::of(kind, found)).collect())
}

/// One of them.
pub(super) fn one(client: &Client, kind: Kind, name: &str) -> ApiResult<Entity> {
    let found = client.ask(&kind.ask("Get", "", name));
    let found = found.map_err(|error| error.or_hint(kind.hint()))?;
    let entity = found.at(kind.word()).cloned().unwrap_or_default();
    Ok(Entity::of(kind, &entity))
}

/// A policy that is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Attached {
    pub(super) name: String,
    pub(super) arn: String,
}

/// The policies attached to one.
pub(super) fn attached(client: &Client, kind: Kind, name: &str) -> ApiResult<Vec<Attached>> {
    let form = kind.ask("ListAttached", "Policies", name);
    let found = client.all(&form, "AttachedPolicies");
    let found = found.map_err(|error| error.or_hint(kind.hint()))?;
    let attached = found.iter().map(|policy| Attached {
        name: policy.get("PolicyName"),
        arn: policy.get("PolicyArn"),
    });
    Ok(attached.collect())
}

/// The names of the policies that are its own.
pub(super) fn inline(client: &Client, kind: Kind, name: &str) -> ApiResult<Vec<String>> {
    let found = client.all(&kind.ask("List", "Policies", name), "PolicyNames")?;
    Ok(found.iter().map(|name| name.text().to_owned()).collect())
}

pub(super) fn attach(client: &Client, kind: Kind, name: &str, arn: &str) -> ApiResult<()> {
    let form = kind.ask("Attach", "Policy", name).with("PolicyArn", arn);
    let done = client.ask(&form);
    done.map(drop).map_err(|error| error.or_hint(kind.hint()))
}

pub(super) fn detach(client: &Client, kind: Kind, name: &str, arn: &str) -> ApiResult<()> {
    let form = kind.ask("Detach", "Policy", name).with("PolicyArn", arn);
    let done = client.ask(&form);
    done.map(drop).map_err(|error| error.or_hint(kind.hint()))
}

/// What hangs on one, and goes with it.
#[derive(Debug, Default)]
pub(super) struct Hanging {
    pub(super) keys: Vec<String>,
    groups: Vec<String>,
    members: Vec<String>,
    attached: Vec<Attached>,
    inline: Vec<String>,
}

impl Hanging {
    pub(super) fn of(client: &Client, kind: Kind, name: &str) -> ApiResult<Self> {
        let names = |form: &Form, list: &str, field: &str| -> ApiResult<Vec<String>> {
            let found = client.all(form, list)?;
            Ok(found.iter().map(|found| found.get(field)).collect())
        };
        let mut hanging = Self {
            attached: attached(client, kind, name)?,
            inline: inline(client, kind, name)?,
            ..Self::default()
        };
        match kind {
            Kind::User => {
                let form = Form::iam("ListAccessKeys").with("UserName", name);
                hanging.keys = names(&form, "AccessKeyMetadata", "AccessKeyId")?;
                let form = Form::iam("ListGroupsForUser").with("UserName", name);
                hanging.groups = names(&form, "Groups", "GroupName")?;
            }
            Kind::Group => {
                let form = Form::iam("GetGroup").with("GroupName", name);
                hanging.members = names(&form, "Users", "UserName")?;
            }
            Kind::Role => {}
        }
        Ok(hanging)
    }

    /// In words; empty where nothing hangs on it.
    fn words(&self) -> String {
        let names = |all: &[Attached]| all.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        let lists = [
            (&self.keys, "access key", "access keys"),
            (&self.groups, "membership in group", "memberships in groups"),
            (&self.members, "member", "members"),
            (
                &names(&self.attached),
                "attached policy",
                "attached policies",
            ),
            (&self.inline, "policy of its own", "policies of its own"),
        ];
        let words = lists.into_iter().filter(|(all, ..)| !all.is_empty());
        let words = words.map(|(all, one, many)| {
            format!("{} ({})", count(all.len(), one, many), all.join(", "))
        });
        words.collect::<Vec<_>>().join(", ")
    }

    fn cut(&self, client: &Client, kind: Kind, name: &str) -> ApiResult<()> {
        for key in &self.keys {
            let form = Form::iam("DeleteAccessKey").with("UserName", name);
            client.ask(&form.with("AccessKeyId", &**key))?;
        }
        for group in &self.groups {
            let form = Form::iam("RemoveUserFromGroup").with("UserName", name);
            client.ask(&form.with("GroupName", &**group))?;
        }
        for user in &self.members {
            let form = Form::iam("RemoveUserFromGroup").with("GroupName", name);
            client.ask(&form.with("UserName", &**user))?;
        }
        for policy in &self.attached {
            detach(client, kind, name, &policy.arn)?;
        }
        for policy in &self.inline {
            let form = kind.ask("Delete", "Policy", name);
            client.ask(&form.with("PolicyName", &**policy))?;
        }
        Ok(())
    }
}

/// Removes one. Where something hangs on it, only by `force`; otherwise the error says what.
///
/// # Errors
/// Those of the server, and that something hangs on it.
pub(super) fn remove(
    client: &Client,
    kind: Kind,
    name: &str,
    force: bool,
) -> Result<String, Failure> {
    let (word, hanging) = (kind.command(), Hanging::of(client, kind, name)?);
    let words = hanging.words();
    if !words.is_empty() && !force {
        return Err(format!(
            "nothing is removed yet: {word} {name} has {words}, which would go with it; to remove it all: larder {word} remove {name} --force"
        )
        .into());
    }
    hanging.cut(client, kind, name)?;
    let gone = client.ask(&kind.ask("Delete", "", name));
    gone.map_err(|error| error.or_hint(kind.hint()))?;
    let with = if words.is_empty() { "" } else { ", with " };
    Ok(format!("{word} {name} is removed{with}{words}\n"))
}

/// Takes back what was begun: removes one with all that hangs on it. Says what became of it.
pub(super) fn take_back(client: &Client, kind: Kind, name: &str, error: &ApiError) -> Failure {
    let left = if remove(client, kind, name, true).is_ok() {
        "nothing was made".to_owned()
    } else {
        let word = kind.command();
        format!(
            "{word} {name} was made all the same: remove it by larder {word} remove {name} --force"
        )
    };
    format!("{error}; {left}").into()
}

/// What is printed of one where a program reads it.
pub(super) fn json_of(entity: &Entity, attached: &[Attached], inline: &[String]) -> Value {
    let mut json = json!(entity);
    json["policies"] = json!(attached);
    json["inline_policies"] = json!(inline);
    json
}
