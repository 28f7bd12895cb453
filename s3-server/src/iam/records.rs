//! What is kept of users, groups, roles, policies and identity providers: one record each, with all that belongs to it.
//!
//! So the limits of what one of them may have follow from the check of its record's revision. Groups are named by their identifier, which
//! outlives their name; policies by their ARN, which can't change.

use std::collections::BTreeMap;

use larder_storage::objects::{AccountId, IdentityKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    directory::{Realm, Table},
    names::{self, Tag},
};

/// Something that has a record.
pub(crate) trait Entity:
    Clone + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    const KIND: IdentityKind;

    /// What it is called; unique in its account whatever the case of its letters.
    fn name(&self) -> &str;

    /// What it is called for ever; nobody else ever is.
    fn id(&self) -> &str;

    /// Its name for policies.
    fn arn(&self, account: AccountId) -> String;

    /// The policies that are a part of it, and say what it may do, each with its name if it has one of its own.
    fn documents(&self) -> Vec<(Option<&str>, &str)> {
        Vec::new()
    }

    fn table(realm: &Realm) -> &Table<Self>;

    fn table_mut(realm: &mut Realm) -> &mut Table<Self>;
}

/// A user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct User {
    /// `AIDA…`
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    /// Seconds since 1970, as all times here.
    pub(crate) created: u64,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    #[serde(default)]
    pub(crate) keys: Vec<AccessKey>,
    /// Documents by name.
    #[serde(default)]
    pub(crate) policies: BTreeMap<String, String>,
    /// ARNs of policies.
    #[serde(default)]
    pub(crate) attached: Vec<String>,
    /// Identifiers of groups.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// ARN of the policy that says the most that it may do.
    #[serde(default)]
    pub(crate) boundary: Option<String>,
}

/// A key pair of a user. The secret is sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    /// In base 64.
    pub(crate) sealed: String,
    pub(crate) is_active: bool,
    pub(crate) created: u64,
    /// What the request that made it called itself, hashed: the same request gets it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// A group of users.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// `AGPA…`
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) created: u64,
    #[serde(default)]
    pub(crate) policies: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) attached: Vec<String>,
    /// How many users have it among their groups.
    #[serde(default)]
    pub(crate) members: u64,
}

/// A role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    /// `AROA…`
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) created: u64,
    #[serde(default)]
    pub(crate) description: String,
    /// The document that says who may take it on.
    pub(crate) trust: String,
    /// The longest session, in seconds.
    pub(crate) max_session: u64,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    #[serde(default)]
    pub(crate) policies: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) attached: Vec<String>,
    #[serde(default)]
    pub(crate) boundary: Option<String>,
}

/// A policy that can be attached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ManagedPolicy {
    /// `ANPA…`
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    pub(crate) versions: Vec<PolicyVersion>,
    /// The number of the version that counts.
    pub(crate) default: u64,
    /// The number of the next version.
    pub(crate) next: u64,
    /// How many users, groups and roles have it attached.
    #[serde(default)]
    pub(crate) attachments: u64,
    /// How many users and roles have it as their boundary.
    #[serde(default)]
    pub(crate) boundaries: u64,
}

/// A version of a policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PolicyVersion {
    pub(crate) number: u64,
    pub(crate) document: String,
    pub(crate) created: u64,
}

/// An identity provider that speaks `OpenID` Connect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Provider {
    /// Where it is, without `https://`.
    pub(crate) url: String,
    /// Whether it is on this machine and reached by `http://`.
    #[serde(default)]
    pub(crate) is_plain: bool,
    pub(crate) created: u64,
    /// Audiences.
    #[serde(default)]
    pub(crate) clients: Vec<String>,
    #[serde(default)]
    pub(crate) thumbprints: Vec<String>,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

impl ManagedPolicy {
    /// The document of the version that counts.
    pub(crate) fn document(&self) -> Option<&str> {
        let version = self.versions.iter().find(|v| v.number == self.default);
        version.map(|version| version.document.as_str())
    }
}

impl Entity for User {
    const KIND: IdentityKind = IdentityKind::User;

    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn arn(&self, account: AccountId) -> String {
        names::arn(account, "user", &self.path, &self.name)
    }

    fn documents(&self) -> Vec<(Option<&str>, &str)> {
        inline_documents(&self.policies)
    }

    fn table(realm: &Realm) -> &Table<Self> {
        &realm.users
    }

    fn table_mut(realm: &mut Realm) -> &mut Table<Self> {
        &mut realm.users
    }
}

impl Entity for Group {
    const KIND: IdentityKind = IdentityKind::Group;

    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn arn(&self, account: AccountId) -> String {
        names::arn(account, "group", &self.path, &self.name)
    }

    fn documents(&self) -> Vec<(Option<&str>, &str)> {
        inline_documents(&self.policies)
    }

    fn table(realm: &Realm) -> &Table<Self> {
        &realm.groups
    }

    fn table_mut(realm: &mut Realm) -> &mut Table<Self> {
        &mut realm.groups
    }
}

impl Entity for Role {
    const KIND: IdentityKind = IdentityKind::Role;

    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn arn(&self, account: AccountId) -> String {
        names::arn(account, "role", &self.path, &self.name)
    }

    fn documents(&self) -> Vec<(Option<&str>, &str)> {
        inline_documents(&self.policies)
    }

    fn table(realm: &Realm) -> &Table<Self> {
        &realm.roles
    }

    fn table_mut(realm: &mut Realm) -> &mut Table<Self> {
        &mut realm.roles
    }
}

impl Entity for ManagedPolicy {
    const KIND: IdentityKind = IdentityKind::Policy;

    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn arn(&self, account: AccountId) -> String {
        names::arn(account, "policy", &self.path, &self.name)
    }

    fn documents(&self) -> Vec<(Option<&str>, &str)> {
        // Without a version that counts it says nothing, and so allows nothing.
        self.document()
            .into_iter()
            .map(|text| (None, text))
            .collect()
    }

    fn table(realm: &Realm) -> &Table<Self> {
        &realm.policies
    }

    fn table_mut(realm: &mut Realm) -> &mut Table<Self> {
        &mut realm.policies
    }
}

impl Entity for Provider {
    const KIND: IdentityKind = IdentityKind::Provider;

    fn name(&self) -> &str {
        &self.url
    }

    fn id(&self) -> &str {
        &self.url
    }

    fn arn(&self, account: AccountId) -> String {
        format!("arn:aws:iam::{account}:oidc-provider/{}", self.url)
    }

    fn table(realm: &Realm) -> &Table<Self> {
        &realm.providers
    }

    fn table_mut(realm: &mut Realm) -> &mut Table<Self> {
        &mut realm.providers
    }
}

fn inline_documents(policies: &BTreeMap<String, String>) -> Vec<(Option<&str>, &str)> {
    policies
        .iter()
        .map(|(name, text)| (Some(name.as_str()), text.as_str()))
        .collect()
}
