//! `NotificationConfiguration`.

use super::writer::Writer;
use crate::xml::parse::{Notification, NotificationConfiguration};

/// What is told to whom, in the form in which it was given; an empty document where nobody is told anything.
pub fn notification_configuration(configuration: &NotificationConfiguration) -> String {
    let capacity = 512 * configuration.notifications.len();
    let mut w = Writer::new("NotificationConfiguration", capacity);
    for notification in &configuration.notifications {
        w.nested(notification.kind.element(), |w| {
            write_notification(notification, w);
        });
    }
    if configuration.has_event_bridge {
        w.text("EventBridgeConfiguration", "");
    }
    w.finish()
}

fn write_notification(notification: &Notification, w: &mut Writer) {
    w.text_if("Id", notification.id.as_deref());
    w.text(notification.kind.destination(), &notification.arn);
    for event in &notification.events {
        w.text("Event", event);
    }
    if notification.filter.is_empty() {
        return;
    }
    w.nested("Filter", |w| {
        w.nested("S3Key", |w| {
            for (name, value) in &notification.filter {
                w.nested("FilterRule", |w| {
                    w.text("Name", name);
                    w.text("Value", value);
                });
            }
        });
    });
}
