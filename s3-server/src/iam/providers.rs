//! Identity providers: `CreateOpenIDConnectProvider` and what belongs to it.

use std::sync::Arc;

use http::Uri;

use super::{
    ask::{Ask, tag_keys},
    directory::Known,
    document::{Node, date, members, text, texts},
    error::{IamCode, IamError, IamResult, refused},
    issuers::Issuers,
    names::{self, tag_nodes},
    records::{Entity as _, Provider},
};

const MAX_URL_CHARS: usize = 255;
const MAX_CLIENTS: usize = 100;
const MAX_THUMBPRINTS: usize = 5;

pub(super) async fn create(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let (url, is_plain) = parse_url(&ask.app.issuers, form.need("Url")?)?;
    let account = ask.account_id()?;
    let provider = Provider {
        url: url.clone(),
        is_plain,
        created: ask.now(),
        clients: form
            .list("ClientIDList")
            .into_iter()
            .map(str::to_owned)
            .collect(),
        thumbprints: thumbprints(ask)?,
        tags: names::tags(form, &[])?,
    };
    let arn = provider.arn(account);
    ask.require_with(&arn, tag_keys(form))?;
    check_clients(&provider.clients)?;
    let mut change = ask.change().await?;
    if ask.directory().find::<Provider>(account, &url).is_some() {
        return refused(
            IamCode::EntityAlreadyExists,
            format!("Provider with url https://{url} already exists."),
        );
    }
    let tags = provider.tags.clone();
    change.put(None, provider)?;
    change.commit().await?;
    let mut nodes = vec![text("OpenIDConnectProviderArn", arn)];
    if !tags.is_empty() {
        nodes.push(members("Tags", tags.iter().map(tag_nodes)));
    }
    Ok(nodes)
}

/// Without its scheme, and whether that was `http`.
fn parse_url(issuers: &Issuers, url: &str) -> IamResult<(String, bool)> {
    let uri: Option<Uri> = url.parse().ok();
    let is_good = uri.as_ref().is_some_and(|uri| {
        issuers.may_ask(uri) && uri.query().is_none() && url.len() <= MAX_URL_CHARS
    });
    let rest = url
        .split_once("://")
        .map(|(_, rest)| rest.trim_end_matches('/'));
    match rest {
        Some(rest) if is_good => Ok((rest.to_owned(), url.starts_with("http:"))),
        _ => refused(
            IamCode::InvalidInput,
            "Invalid Open ID Connect Provider URL: it begins with https:// and has no query",
        ),
    }
}

fn thumbprints(ask: &Ask<'_>) -> IamResult<Vec<String>> {
    let all = ask.form.list("ThumbprintList");
    let is_one = |text: &&str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if all.len() <= MAX_THUMBPRINTS && all.iter().all(is_one) {
        return Ok(all.into_iter().map(str::to_owned).collect());
    }
    refused(
        IamCode::InvalidInput,
        format!("At most {MAX_THUMBPRINTS} thumbprints of 40 hexadecimal digits"),
    )
}

fn check_clients(clients: &[String]) -> IamResult<()> {
    if clients.len() > MAX_CLIENTS {
        let message =
            format!("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {MAX_CLIENTS}");
        return refused(IamCode::LimitExceeded, message);
    }
    if clients
        .iter()
        .all(|client| (1..=255).contains(&client.len()))
    {
        return Ok(());
    }
    refused(IamCode::InvalidInput, "A client id has 1 to 255 characters")
}

fn named(ask: &Ask<'_>) -> IamResult<Arc<Known<Provider>>> {
    let arn = ask.form.need("OpenIDConnectProviderArn")?;
    ask.require(arn)?;
    let url = arn.split_once(":oidc-provider/").map_or("", |(_, url)| url);
    let found = ask.directory().find::<Provider>(ask.account_id()?, url);
    found.filter(|found| found.arn == arn).ok_or_else(|| {
        let message = format!("OpenIDConnect Provider not found for arn {arn}");
        IamError::new(IamCode::NoSuchEntity, message)
    })
}

pub(super) fn get(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let found = named(ask)?;
    let record = &found.record;
    let mut nodes = vec![
        text("Url", &*record.url),
        texts("ClientIDList", record.clients.iter().cloned()),
        texts("ThumbprintList", record.thumbprints.iter().cloned()),
        date("CreateDate", record.created),
    ];
    if !record.tags.is_empty() {
        nodes.push(members("Tags", record.tags.iter().map(tag_nodes)));
    }
    Ok(nodes)
}

pub(super) async fn delete(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let found = named(ask)?;
    change.delete(&found);
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) fn list(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let account = ask.account_id()?;
    ask.require(&format!("arn:aws:iam::{account}:oidc-provider/*"))?;
    let all = ask.directory().all::<Provider>(account);
    let shown = all.iter().map(|provider| vec![text("Arn", &*provider.arn)]);
    Ok(vec![members("OpenIDConnectProviderList", shown)])
}

pub(super) async fn add_client(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let client = ask.form.need("ClientID")?.to_owned();
    changed(ask, |provider| {
        if !provider.clients.contains(&client) {
            provider.clients.push(client);
        }
        check_clients(&provider.clients)
    })
    .await
}

pub(super) async fn remove_client(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let client = ask.form.need("ClientID")?.to_owned();
    changed(ask, |provider| {
        provider.clients.retain(|known| *known != client);
        Ok(())
    })
    .await
}

pub(super) async fn update_thumbprints(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let all = thumbprints(ask)?;
    changed(ask, |provider| {
        provider.thumbprints = all;
        Ok(())
    })
    .await
}

async fn changed(
    ask: &Ask<'_>,
    how: impl FnOnce(&mut Provider) -> IamResult<()>,
) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let found = named(ask)?;
    let mut new = found.record.clone();
    how(&mut new)?;
    change.put(Some(&found), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Oidc;

    #[test]
    fn urls_of_providers() {
        let issuers = Issuers::new(Oidc {
            http: true,
            ca_file: None,
        });
        let parsed = |url| parse_url(&issuers, url).ok();
        assert_eq!(
            parsed("https://oidc.example/id/X/"),
            Some(("oidc.example/id/X".to_owned(), false))
        );
        assert_eq!(
            parsed("http://127.0.0.1:9/a"),
            Some(("127.0.0.1:9/a".to_owned(), true))
        );
        for url in [
            "oidc.example",
            "http://oidc.example",
            "https://",
            "https://a/?b=c",
        ] {
            assert_eq!(parsed(url), None, "{url}");
        }
    }
}
