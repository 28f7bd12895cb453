//! The body of `PutBucketNotificationConfiguration`. What its values mean is the operation's matter.

use super::{XmlError, cursor::Cursor, malformed};

/// Most configurations of a bucket.
pub const MAX_NOTIFICATIONS: usize = 100;
/// Largest body in bytes: a hundred configurations with all events, and names and filters of the greatest length.
pub const MAX_NOTIFICATION_BYTES: usize = 512 * 1024;
/// More events than there are kinds of stand in no configuration.
const MAX_EVENTS: usize = 100;
/// One prefix, one suffix, and room to say that there is one too many.
const MAX_FILTER_RULES: usize = 8;

/// Which kind of destination a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// `TopicConfiguration`.
    Topic,
    /// `QueueConfiguration`.
    Queue,
    /// `CloudFunctionConfiguration`.
    Function,
}

impl NotificationKind {
    /// Its element.
    pub fn element(self) -> &'static str {
        match self {
            Self::Topic => "TopicConfiguration",
            Self::Queue => "QueueConfiguration",
            Self::Function => "CloudFunctionConfiguration",
        }
    }

    /// The element of its destination.
    pub fn destination(self) -> &'static str {
        match self {
            Self::Topic => "Topic",
            Self::Queue => "Queue",
            Self::Function => "CloudFunction",
        }
    }
}

/// One configuration: what is told to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its name.
    pub id: Option<String>,
    /// What kind of destination it has.
    pub kind: NotificationKind,
    /// The destination.
    pub arn: String,
    /// Names of events, `s3:…`.
    pub events: Vec<String>,
    /// `FilterRule`s: name and value of each.
    pub filter: Vec<(String, String)>,
}

/// A parsed `NotificationConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotificationConfiguration {
    /// Those of all kinds, in the order in which they stand.
    pub notifications: Vec<Notification>,
    /// Whether all events are to go to `EventBridge`.
    pub has_event_bridge: bool,
}

/// Parses `NotificationConfiguration`. Of more configurations than there may be one is given back too many.
///
/// # Errors
/// [`XmlError::Malformed`] and [`XmlError::TooLarge`].
pub fn notification_configuration(body: &[u8]) -> Result<NotificationConfiguration, XmlError> {
    let mut cursor = Cursor::new(body, MAX_NOTIFICATION_BYTES)?;
    cursor.root("NotificationConfiguration")?;
    let mut found = NotificationConfiguration::default();
    while let Some(name) = cursor.next_child()? {
        let kind = match name {
            "TopicConfiguration" => NotificationKind::Topic,
            "QueueConfiguration" => NotificationKind::Queue,
            "CloudFunctionConfiguration" => NotificationKind::Function,
            "EventBridgeConfiguration" => {
                found.has_event_bridge = true;
                cursor.skip()?;
                continue;
            }
            _ => {
                cursor.skip()?;
                continue;
            }
        };
        if found.notifications.len() > MAX_NOTIFICATIONS {
            cursor.skip()?;
        } else {
            found.notifications.push(notification(&mut cursor, kind)?);
        }
    }
    cursor.end()?;
    Ok(found)
}

fn notification(cursor: &mut Cursor<'_>, kind: NotificationKind) -> Result<Notification, XmlError> {
    let (mut id, mut arn, mut filter) = (None, None, Vec::new());
    let mut events = Vec::new();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Id" => id = Some(cursor.text()?),
            "Event" if events.len() == MAX_EVENTS => return Err(malformed("too many events")),
            "Event" => events.push(cursor.text()?),
            "Filter" => filter = key_filter(cursor)?,
            name if name == kind.destination() => arn = Some(cursor.text()?),
            _ => cursor.skip()?,
        }
    }
    if events.is_empty() {
        return Err(malformed("no event"));
    }
    Ok(Notification {
        id,
        kind,
        arn: arn.ok_or(malformed("no destination"))?,
        events,
        filter,
    })
}

fn key_filter(cursor: &mut Cursor<'_>) -> Result<Vec<(String, String)>, XmlError> {
    let mut rules = Vec::new();
    while let Some(name) = cursor.next_child()? {
        if name != "S3Key" {
            cursor.skip()?;
            continue;
        }
        while let Some(name) = cursor.next_child()? {
            match name {
                "FilterRule" if rules.len() == MAX_FILTER_RULES => {
                    return Err(malformed("too many rules of a filter"));
                }
                "FilterRule" => rules.push(filter_rule(cursor)?),
                _ => cursor.skip()?,
            }
        }
    }
    Ok(rules)
}

fn filter_rule(cursor: &mut Cursor<'_>) -> Result<(String, String), XmlError> {
    let (mut rule, mut value) = (None, None);
    while let Some(name) = cursor.next_child()? {
        match name {
            "Name" => rule = Some(cursor.text()?),
            "Value" => value = Some(cursor.text()?),
            _ => cursor.skip()?,
        }
    }
    let rule = rule.ok_or(malformed("rule of a filter without a name"))?;
    Ok((rule, value.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use NotificationKind::{Function, Queue, Topic};

    use super::*;

    fn parse(content: &str) -> Result<NotificationConfiguration, XmlError> {
        let body = format!("<NotificationConfiguration>{content}</NotificationConfiguration>");
        notification_configuration(body.as_bytes())
    }

    #[test]
    fn configurations_of_each_kind_are_read() {
        let found = parse(
            "<QueueConfiguration><Id>a</Id><Queue>arn:q</Queue><Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>\
             <Filter><S3Key><FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule>\
             <FilterRule><Name>Suffix</Name><Value>.gz</Value></FilterRule></S3Key></Filter></QueueConfiguration>\
             <TopicConfiguration><Topic>arn:t</Topic><Event>e</Event></TopicConfiguration>\
             <CloudFunctionConfiguration><CloudFunction>arn:f</CloudFunction><Event>e</Event></CloudFunctionConfiguration>\
             <EventBridgeConfiguration/>",
        )
        .unwrap();
        let kinds: Vec<_> = found.notifications.iter().map(|n| n.kind).collect();
        assert_eq!(kinds, [Queue, Topic, Function]);
        let queue = &found.notifications[0];
        assert_eq!((queue.arn.as_str(), queue.events.len()), ("arn:q", 2));
        assert_eq!(queue.filter[1], ("Suffix".to_owned(), ".gz".to_owned()));
        assert!(found.has_event_bridge);
        assert_eq!(parse("").unwrap(), NotificationConfiguration::default());
    }

    #[test]
    fn what_is_no_configuration_is_malformed() {
        for bad in [
            "<QueueConfiguration><Event>e</Event></QueueConfiguration>",
            "<QueueConfiguration><Queue>q</Queue></QueueConfiguration>",
            "<QueueConfiguration><Topic>q</Topic><Event>e</Event></QueueConfiguration>",
            "<QueueConfiguration><Queue>q</Queue><Event>e</Event><Filter><S3Key><FilterRule/></S3Key></Filter></QueueConfiguration>",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many = "<Event>e</Event>".repeat(MAX_EVENTS + 1);
        assert!(
            parse(&format!(
                "<QueueConfiguration><Queue>q</Queue>{many}</QueueConfiguration>"
            ))
            .is_err()
        );
    }

    #[test]
    fn of_too_many_one_is_given_back_too_many() {
        let one = "<QueueConfiguration><Queue>q</Queue><Event>e</Event></QueueConfiguration>";
        let found = parse(&one.repeat(MAX_NOTIFICATIONS + 5)).unwrap();
        assert_eq!(found.notifications.len(), MAX_NOTIFICATIONS + 1);
    }
}
