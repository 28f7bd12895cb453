//! Notifications. Labels are the names of the operator's targets.

use crate::{
    app::App,
    metrics::{Exposition, Kind},
    notify::TargetStatus,
};

pub(super) fn write(app: &App, out: &mut Exposition) {
    let Ok(store) = app.store() else {
        return;
    };
    let targets = app.notify.status(store);
    let mut each = |name: &str, kind, help: &str, value: fn(&TargetStatus) -> u64| {
        let mut family = out.family(name, kind, help);
        for target in &targets {
            let labels = [("target", &*target.name), ("type", target.kind)];
            family.sample(&labels, value(target));
        }
    };
    each(
        "larder_notify_waiting_events",
        Kind::Gauge,
        "Events that wait for the target.",
        |target| target.waiting.0,
    );
    each(
        "larder_notify_waiting_bytes",
        Kind::Gauge,
        "Bytes of these events.",
        |target| target.waiting.1,
    );
    each(
        "larder_notify_delivered_events_total",
        Kind::Counter,
        "Events that the target has taken.",
        |target| target.delivered,
    );
    each(
        "larder_notify_failed_attempts_total",
        Kind::Counter,
        "Attempts to bring the target an event that failed; each is made again.",
        |target| target.failed,
    );
    each(
        "larder_notify_dropped_events_total",
        Kind::Counter,
        "Events that were lost because too many waited for the target.",
        |target| target.dropped,
    );
    out.family(
        "larder_notify_targetless_events_total",
        Kind::Counter,
        "Events that were lost because the target of their rule is not in the file of targets.",
    )
    .sample(&[], app.notify.targetless());
}
