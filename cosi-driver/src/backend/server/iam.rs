//! What is asked of IAM, and of STS.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use super::{
    connection::{Connection, Outgoing},
    documents::read_tags,
    s3::instant,
    xml::Element,
};
use crate::{
    backend::{
        AccessKey, BackendError, BackendResult, Caller, IdentityKind, ListedIdentity, NewIdentity,
        StoredIdentity, Tags,
    },
    provision::KeyPair,
};

const IAM: &str = "2010-05-08";
const STS: &str = "2011-06-15";
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An action of AWS's Query protocol with its parameters. Those may be secret: there is no `Debug`.
struct Form {
    action: String,
    text: String,
}

impl Form {
    fn new(action: impl Into<String>) -> Self {
        let form = Self {
            action: action.into(),
            text: String::new(),
        };
        let action = form.action.clone();
        form.with("Action", &action)
    }

    /// An action that is called for users and roles alike: `CreateUser`, `CreateRole`.
    fn of(verb: &str, kind: IdentityKind, rest: &str, name: &str) -> Self {
        let word = kind.word();
        let form = Self::new(format!("{verb}{word}{rest}"));
        form.with(&format!("{word}Name"), name)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        if !self.text.is_empty() {
            self.text.push('&');
        }
        self.text.extend(utf8_percent_encode(name, ENCODED));
        self.text.push('=');
        self.text.extend(utf8_percent_encode(value, ENCODED));
        self
    }

    fn with_tags(self, tags: &Tags) -> Self {
        (1..).zip(tags).fold(self, |form, (number, (key, value))| {
            form.with(&format!("Tags.member.{number}.Key"), key)
                .with(&format!("Tags.member.{number}.Value"), value)
        })
    }

    async fn send(self, connection: &Connection) -> BackendResult<Element> {
        self.send_to(connection, "iam", IAM).await
    }

    /// The result of the action; empty for one that answers nothing.
    async fn send_to(
        self,
        connection: &Connection,
        service: &'static str,
        version: &str,
    ) -> BackendResult<Element> {
        let form = self.with("Version", version);
        let kind = "application/x-www-form-urlencoded".to_owned();
        let request = Outgoing {
            service,
            method: Method::POST,
            path: "/",
            headers: &[("content-type", kind)],
            body: form.text.into(),
            subject: "",
        };
        let answer = connection.ask(&request).await?;
        let root = Element::parse(&answer.body);
        let expected = format!("{}Response", form.action);
        let root = root.filter(|root| root.name() == expected);
        root.ok_or_else(|| BackendError::Refused {
            code: "NoIam".to_owned(),
            message: "the server does not speak IAM".to_owned(),
        })
    }
}

/// What is below the result of an action.
fn result<'a>(root: &'a Element, name: &str) -> Option<&'a Element> {
    let result = root
        .children()
        .iter()
        .find(|child| child.name().ends_with("Result"))?;
    result.at(name)
}

fn none_if_missing<T>(answer: BackendResult<T>) -> BackendResult<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(BackendError::NoSuchEntity(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn incomplete(what: &str) -> BackendError {
    BackendError::Refused {
        code: "NoIam".to_owned(),
        message: format!("the server's answer lacks {what}"),
    }
}

/// All entries of a list, from as many pages as it has.
async fn all(
    connection: &Connection,
    form: impl Fn() -> Form,
    list: &str,
) -> BackendResult<Vec<Element>> {
    let mut pages = Vec::new();
    let mut marker = String::new();
    loop {
        let mut form = form().with("MaxItems", "1000");
        if !marker.is_empty() {
            form = form.with("Marker", &marker);
        }
        let page = form.send(connection).await?;
        let text = |name| result(&page, name).map_or("", |found| found.get_own());
        let next = text("Marker").to_owned();
        let is_last = text("IsTruncated") != "true" || next.is_empty() || next == marker;
        pages.push(page);
        if is_last {
            break;
        }
        marker = next;
    }
    let list = format!("{}Result/{list}", form().action);
    let entries = pages.into_iter().flat_map(|page| page.into_list(&list));
    Ok(entries.collect())
}

pub(super) async fn caller(connection: &Connection) -> BackendResult<Caller> {
    let form = Form::new("GetCallerIdentity");
    let root = form.send_to(connection, "sts", STS).await?;
    let text = |name| result(&root, name).map(|found| found.get_own().to_owned());
    let account = text("Account").ok_or_else(|| incomplete("the account"))?;
    let arn = text("Arn").ok_or_else(|| incomplete("the ARN"))?;
    Ok(Caller { account, arn })
}

pub(super) async fn create(
    connection: &Connection,
    kind: IdentityKind,
    new: &NewIdentity,
) -> BackendResult<StoredIdentity> {
    let form = Form::of("Create", kind, "", &new.name)
        .with("Path", &new.path)
        .with_tags(&new.tags);
    let form = match &new.trust {
        Some(trust) => form.with("AssumeRolePolicyDocument", trust),
        None => form,
    };
    let root = form.send(connection).await?;
    stored(&root, kind)
}

fn stored(root: &Element, kind: IdentityKind) -> BackendResult<StoredIdentity> {
    let found = result(root, kind.word()).ok_or_else(|| incomplete(kind.word()))?;
    Ok(StoredIdentity {
        arn: found.get("Arn").to_owned(),
        path: found.get("Path").to_owned(),
        created: instant(found.get("CreateDate")),
        tags: read_tags(found.list("Tags")),
    })
}

pub(super) async fn get(
    connection: &Connection,
    kind: IdentityKind,
    name: &str,
) -> BackendResult<Option<StoredIdentity>> {
    let form = Form::of("Get", kind, "", name);
    let root = none_if_missing(form.send(connection).await)?;
    root.map(|root| stored(&root, kind)).transpose()
}

pub(super) async fn list(
    connection: &Connection,
    kind: IdentityKind,
    path: &str,
) -> BackendResult<Vec<ListedIdentity>> {
    let word = kind.word();
    let form = || Form::new(format!("List{word}s")).with("PathPrefix", path);
    let found = all(connection, form, &format!("{word}s")).await?;
    let name = format!("{word}Name");
    let listed = found.iter().map(|entry| ListedIdentity {
        name: entry.get(&name).to_owned(),
        created: instant(entry.get("CreateDate")),
    });
    Ok(listed.collect())
}

pub(super) async fn tag(
    connection: &Connection,
    kind: IdentityKind,
    name: &str,
    tags: &Tags,
) -> BackendResult<()> {
    let form = Form::of("Tag", kind, "", name).with_tags(tags);
    form.send(connection).await.map(drop)
}

pub(super) async fn untag(
    connection: &Connection,
    kind: IdentityKind,
    name: &str,
    keys: &[&str],
) -> BackendResult<()> {
    let form = Form::of("Untag", kind, "", name);
    let form = (1..).zip(keys).fold(form, |form, (number, key)| {
        form.with(&format!("TagKeys.member.{number}"), key)
    });
    form.send(connection).await.map(drop)
}

pub(super) async fn delete(
    connection: &Connection,
    kind: IdentityKind,
    name: &str,
) -> BackendResult<()> {
    let form = Form::of("Delete", kind, "", name);
    form.send(connection).await.map(drop)
}

pub(super) async fn put_policy(
    connection: &Connection,
    kind: IdentityKind,
    name: &str,
    policy: &str,
    document: &str,
) -> BackendResult<()> {
    let form = Form::of("Put", kind, "Policy", name)
        .with("PolicyName", policy)
        .with("PolicyDocument", document);
    form.send(connection).await.map(drop)
}

pub(super) async fn policy(
    connection: &Connection,
    kind: IdentityKind,
    name: &str,
    policy: &str,
) -> BackendResult<Option<String>> {
    let form = Form::of("Get", kind, "Policy", name).with("PolicyName", policy);
    let root = none_if_missing(form.send(connection).await)?;
    let document = root
        .as_ref()
        .and_then(|root| result(root, "PolicyDocument"));
    let text = |found: &Element| {
        let decoded = percent_decode_str(found.get_own());
        decoded.decode_utf8_lossy().into_owned()
    };
    Ok(document.map(text))
}

pub(super) async fn delete_policy(
    connection: &Connection,
    kind: IdentityKind,
    name: &str,
    policy: &str,
) -> BackendResult<()> {
    let form = Form::of("Delete", kind, "Policy", name).with("PolicyName", policy);
    form.send(connection).await.map(drop)
}

fn of_user(action: &str, user: &str) -> Form {
    Form::new(action).with("UserName", user)
}

pub(super) async fn create_key(
    connection: &Connection,
    user: &str,
    token: &str,
) -> BackendResult<KeyPair> {
    let form = of_user("CreateAccessKey", user).with("ClientToken", token);
    let root = form.send(connection).await?;
    let key = result(&root, "AccessKey").ok_or_else(|| incomplete("the access key"))?;
    let secret = key.get("SecretAccessKey");
    if secret.is_empty() {
        return Err(incomplete("the access key's secret"));
    }
    Ok(KeyPair {
        access_key: key.get("AccessKeyId").to_owned(),
        secret_key: Zeroizing::new(secret.to_owned()),
    })
}

pub(super) async fn keys(connection: &Connection, user: &str) -> BackendResult<Vec<AccessKey>> {
    let form = || of_user("ListAccessKeys", user);
    let found = all(connection, form, "AccessKeyMetadata").await?;
    let key = found.iter().map(|entry| AccessKey {
        id: entry.get("AccessKeyId").to_owned(),
        is_active: entry.get("Status") == "Active",
        created: instant(entry.get("CreateDate")),
    });
    Ok(key.collect())
}

pub(super) async fn activate_key(
    connection: &Connection,
    user: &str,
    access_key: &str,
    is_active: bool,
) -> BackendResult<()> {
    let status = if is_active { "Active" } else { "Inactive" };
    let form = of_user("UpdateAccessKey", user)
        .with("AccessKeyId", access_key)
        .with("Status", status);
    form.send(connection).await.map(drop)
}

pub(super) async fn delete_key(
    connection: &Connection,
    user: &str,
    access_key: &str,
) -> BackendResult<()> {
    let form = of_user("DeleteAccessKey", user).with("AccessKeyId", access_key);
    form.send(connection).await.map(drop)
}
