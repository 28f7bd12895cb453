//! `PutBucketNotificationConfiguration`, `GetBucketNotificationConfiguration`.

use std::{collections::HashSet, sync::Arc};

use larder_storage::objects::{BucketName, DocumentKind};

use super::{Call, call::invalid_argument, small_body};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    notify::{BadRule, Rules, Target, region_of},
    reply,
    xml::{
        parse::{
            MAX_NOTIFICATION_BYTES, MAX_NOTIFICATIONS, Notification, NotificationConfiguration,
            NotificationKind, notification_configuration,
        },
        write,
    },
};

const MAX_ID_CHARS: usize = 255;
const SKIP: &str = "x-amz-skip-destination-validation";
const EVENT_BRIDGE: &str = "Larder does not send events to EventBridge: name targets.";
const NOT_VALID: &str = "Unable to validate the following destination configurations";
const OVERLAP: &str = "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.";

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let kind = DocumentKind::Notifications;
    let document = match call.store.document(bucket, kind).await? {
        Some(document) => document.bytes().to_vec(),
        None => write::notification_configuration(&NotificationConfiguration::default()).into(),
    };
    Ok(reply::xml(document))
}

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let body = small_body::read(&mut call, MAX_NOTIFICATION_BYTES).await?;
    let mut asked = notification_configuration(&body)?;
    if asked.has_event_bridge {
        let error = S3Error::with_message(S3Code::NotImplemented, EVENT_BRIDGE);
        return Err(error.element("Element", "EventBridgeConfiguration"));
    }
    name(&mut asked.notifications, &call)?;
    let rules = Rules::checked(&asked).map_err(refusal)?;
    let targets = targets(bucket, &rules, &asked, &call).await?;
    let document = (!asked.notifications.is_empty())
        .then(|| write::notification_configuration(&asked).into_bytes());
    let kind = DocumentKind::Notifications;
    let set = call.store.set_document(bucket, kind, document.as_deref());
    set.await?;
    let about = (bucket.as_str(), call.id);
    call.app.notify.test(call.store, &targets, about).await?;
    Ok(reply::empty())
}

/// Names those that have no name, and refuses names that can't be.
fn name(notifications: &mut [Notification], call: &Call<'_>) -> S3Result<()> {
    if notifications.len() > MAX_NOTIFICATIONS {
        let message = "You can have up to 100 event notification configurations per bucket.";
        return Err(S3Error::with_message(S3Code::InvalidArgument, message));
    }
    let mut ids = HashSet::new();
    for notification in notifications {
        let ids_of_requests = &call.app.request_ids;
        let id = notification.id.take().filter(|id| !id.is_empty());
        let id =
            id.unwrap_or_else(|| format!("{}{}", ids_of_requests.next(), ids_of_requests.next()));
        if id.chars().count() > MAX_ID_CHARS {
            let message = "ID length should not exceed allowed limit of 255";
            return Err(invalid_argument("Id", &id, message));
        }
        if !ids.insert(id.clone()) {
            let message = "Same ID used for multiple configurations. IDs must be unique.";
            return Err(invalid_argument("Id", &id, message));
        }
        notification.id = Some(id);
    }
    Ok(())
}

fn refusal(bad: BadRule) -> S3Error {
    match bad {
        BadRule::Event(event) => {
            let message = "A specified event is not supported for notifications.";
            invalid_argument("Event", &event, message)
        }
        BadRule::Arn(kind, arn) => {
            let message = "The ARN is not well formed";
            invalid_argument(kind.destination(), &arn, message)
        }
        BadRule::FilterName(name) => {
            let message = "filter rule name must be either prefix or suffix";
            invalid_argument("FilterRule.Name", &name, message)
        }
        BadRule::FilterTwice("prefix") => {
            let message = "Cannot specify more than one prefix rule in a filter.";
            invalid_argument("FilterRule.Name", "prefix", message)
        }
        BadRule::FilterTwice(name) => {
            let message = "Cannot specify more than one suffix rule in a filter.";
            invalid_argument("FilterRule.Name", name, message)
        }
        BadRule::FilterLength => {
            let message =
                "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation";
            S3Error::with_message(S3Code::InvalidArgument, message)
        }
        BadRule::Overlap => S3Error::with_message(S3Code::InvalidArgument, OVERLAP),
    }
}

/// The targets of the rules, each once. Where the request says so, those that there are.
async fn targets(
    bucket: &BucketName,
    rules: &Rules,
    asked: &NotificationConfiguration,
    call: &Call<'_>,
) -> S3Result<Vec<Arc<Target>>> {
    let account = call.store.bucket_owner(bucket).await?;
    let skips = call.header(SKIP);
    let skips = skips.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut targets: Vec<Arc<Target>> = Vec::new();
    for (rule, Notification { arn, kind, .. }) in rules.iter().zip(&asked.notifications) {
        let region = region_of(arn);
        if !region.is_empty() && region != call.app.region {
            let message = "The notification destination service region is not valid for the bucket location constraint";
            return Err(invalid_argument(kind.destination(), arn, message));
        }
        match call.app.notify.target(&rule.target, account) {
            Some(target) if targets.contains(&target) => {}
            Some(target) => targets.push(target),
            None if skips => {}
            None => return Err(unknown(*kind, arn)),
        }
    }
    Ok(targets)
}

fn unknown(kind: NotificationKind, arn: &str) -> S3Error {
    let reason = match kind {
        NotificationKind::Topic => "The destination topic does not exist",
        NotificationKind::Queue => "The destination queue does not exist",
        NotificationKind::Function => "The destination Lambda function does not exist",
    };
    S3Error::with_message(S3Code::InvalidArgument, NOT_VALID)
        .element("ArgumentName1", arn)
        .element("ArgumentValue1", reason)
}
