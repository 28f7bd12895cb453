//! Access keys: `CreateAccessKey`, `UpdateAccessKey`, `DeleteAccessKey`, `ListAccessKeys`, `GetAccessKeyLastUsed`.

use sha2::{Digest as _, Sha256};

use super::{
    ask::{Ask, EVERYTHING, Keys},
    directory::Known,
    document::{Node, date, group, members, text},
    error::{IamCode, IamError, IamResult, refused},
    keys, names,
    paging::page,
    records::{AccessKey, User},
    users,
};
const MAX_KEYS: usize = 2;
const MAX_TOKEN_CHARS: usize = 64;
/// What somebody needs, beside `iam:CreateAccessKey`, who wants to be given the key of an earlier request again.
const RECOVER: &str = "larder:RecoverAccessKey";

pub(super) async fn create(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let user = users::named(ask)?;
    let token = ask
        .form
        .get("ClientToken")
        .map(|token| hashed(token, &user))
        .transpose()?;
    if let Some(key) = made_before(&user, token.as_deref()) {
        ask.require_action(RECOVER, &user.arn, Keys::new())?;
        let secret = keys::open(key, ask.keyring()?);
        let secret = secret.ok_or_else(|| IamError::internal("a sealed secret does not open"))?;
        return Ok(answer(&user, key, &secret));
    }
    if user.record.keys.len() >= MAX_KEYS {
        return refused(
            IamCode::LimitExceeded,
            format!("Cannot exceed quota for AccessKeysPerUser: {MAX_KEYS}"),
        );
    }
    let rng = &*ask.app.rng;
    let (id, secret) = (names::access_key(rng, "AKIA"), names::secret(rng));
    let key = AccessKey {
        sealed: keys::seal(&id, &secret, ask.keyring()?)?,
        id,
        is_active: true,
        created: ask.now(),
        token,
    };
    let mut new = user.record.clone();
    new.keys.push(key.clone());
    change.take_key(&key.id);
    change.put(Some(&user), new)?;
    change.commit().await?;
    tracing::info!(arn = user.arn, access_key = key.id, "access key created");
    Ok(answer(&user, &key, &secret))
}

/// A request's own name, as it is kept: bound to the user, and of no use to whoever reads it.
fn hashed(token: &str, user: &Known<User>) -> IamResult<String> {
    if token.is_empty() || token.len() > MAX_TOKEN_CHARS {
        return refused(
            IamCode::ValidationError,
            format!("ClientToken has 1 to {MAX_TOKEN_CHARS} characters"),
        );
    }
    Ok(hex::encode(Sha256::digest(format!(
        "{}/{token}",
        user.record.id
    ))))
}

fn made_before<'a>(user: &'a Known<User>, token: Option<&str>) -> Option<&'a AccessKey> {
    let token = token?;
    let mut keys = user.record.keys.iter();
    keys.find(|key| key.token.as_deref() == Some(token))
}

fn answer(user: &Known<User>, key: &AccessKey, secret: &str) -> Vec<Node> {
    let nodes = vec![
        text("UserName", &*user.record.name),
        text("AccessKeyId", &*key.id),
        text("Status", status(key)),
        text("SecretAccessKey", secret),
        date("CreateDate", key.created),
    ];
    vec![group("AccessKey", nodes)]
}

fn status(key: &AccessKey) -> &'static str {
    if key.is_active { "Active" } else { "Inactive" }
}

pub(super) async fn update(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let is_active = match ask.form.need("Status")? {
        "Active" => true,
        "Inactive" => false,
        other => {
            let message = format!(
                "1 validation error detected: Value '{other}' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]"
            );
            return refused(IamCode::ValidationError, message);
        }
    };
    let mut change = ask.change().await?;
    let user = users::named(ask)?;
    let at = position(&user, ask.form.need("AccessKeyId")?)?;
    let mut new = user.record.clone();
    new.keys[at].is_active = is_active;
    change.put(Some(&user), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn delete(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let user = users::named(ask)?;
    let at = position(&user, ask.form.need("AccessKeyId")?)?;
    let mut new = user.record.clone();
    let gone = new.keys.remove(at);
    change.put(Some(&user), new)?;
    change.free_key(&gone.id);
    change.commit().await?;
    tracing::info!(arn = user.arn, access_key = gone.id, "access key deleted");
    Ok(Vec::new())
}

fn position(user: &Known<User>, id: &str) -> IamResult<usize> {
    let at = user.record.keys.iter().position(|key| key.id == id);
    at.ok_or_else(|| {
        let message = format!("The Access Key with id {id} cannot be found.");
        IamError::new(IamCode::NoSuchEntity, message)
    })
}

pub(super) fn list(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let user = users::named(ask)?;
    let mut keys: Vec<_> = user.record.keys.iter().collect();
    keys.sort_by_key(|key| &key.id);
    let (page, mut nodes) = page(&ask.form, keys.into_iter(), |key| key.id.clone())?;
    let shown = page.iter().map(|key| {
        vec![
            text("UserName", &*user.record.name),
            text("AccessKeyId", &*key.id),
            text("Status", status(key)),
            date("CreateDate", key.created),
        ]
    });
    nodes.insert(0, members("AccessKeyMetadata", shown));
    Ok(nodes)
}

pub(super) fn last_used(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let id = ask.form.need("AccessKeyId")?;
    let account = ask.account_id()?;
    let key = ask.directory().key(id).filter(|key| key.account == account);
    let owner = key
        .as_ref()
        .and_then(|key| ask.directory().of_id::<User>(account, &key.user));
    let (Some(key), Some(user)) = (key, owner) else {
        // Whoever may not ask at all does not learn which keys there are.
        ask.require(EVERYTHING)?;
        let message = format!("The Access Key with id {id} cannot be found.");
        return refused(IamCode::NoSuchEntity, message);
    };
    ask.require(&user.arn)?;
    let shown = match key.last_use() {
        Some(last) => vec![
            date("LastUsedDate", last.at),
            text("ServiceName", last.service),
            text("Region", last.region),
        ],
        None => vec![text("ServiceName", "N/A"), text("Region", "N/A")],
    };
    Ok(vec![
        text("UserName", &*user.record.name),
        group("AccessKeyLastUsed", shown),
    ])
}
