//! What was served.

use crate::{
    app::App,
    metrics::{Exposition, Kind},
};

pub(super) fn write(app: &App, out: &mut Exposition) {
    let version = env!("CARGO_PKG_VERSION");
    out.family(
        "larder_build_info",
        Kind::Gauge,
        "Always 1; the version is a label.",
    )
    .sample(&[("version", version)], 1);
    out.family(
        "larder_uptime_seconds",
        Kind::Gauge,
        "Time since the start.",
    )
    .sample(&[], app.uptime().as_secs());
    write_answers(app, out);
    let counts = app.metrics.counts();
    out.family(
        "larder_slow_downs_total",
        Kind::Counter,
        "Requests refused because too many were in progress.",
    )
    .sample(&[], counts.slow_downs);
    out.family(
        "larder_requests_in_progress",
        Kind::Gauge,
        "S3 requests whose answer has not gone out yet.",
    )
    .sample(&[], app.requests_in_progress());
    out.family(
        "larder_received_bytes_total",
        Kind::Counter,
        "Bytes of the bodies of S3 requests, framing included.",
    )
    .sample(&[], app.metrics.received_bytes());
    out.family(
        "larder_sent_bytes_total",
        Kind::Counter,
        "Bytes of the bodies of answers to S3 requests.",
    )
    .sample(&[], app.metrics.sent_bytes());
    out.family(
        "larder_access_log_lost_lines_total",
        Kind::Counter,
        "Lines of buckets' access logs that were lost: more came than could be written, or their target is gone.",
    )
    .sample(&[], app.access_log.lost_lines());
    write_audit(app, out);
    if let Some(expiry) = app.tls.as_ref().and_then(|tls| tls.expiry_unix_seconds()) {
        out.family(
            "larder_tls_certificate_expiry_timestamp_seconds",
            Kind::Gauge,
            "When the certificate that the server shows expires.",
        )
        .sample(&[], expiry);
    }
}

fn write_audit(app: &App, out: &mut Exposition) {
    let Some(audit) = &app.audit else { return };
    let counts = audit.counts();
    let mut each = |name: &str, kind: Kind, help: &str, value: u64| {
        out.family(name, kind, help).sample(&[], value);
    };
    each(
        "larder_audit_lines_total",
        Kind::Counter,
        "Lines of the audit log that were taken.",
        counts.lines,
    );
    each(
        "larder_audit_lost_lines_total",
        Kind::Counter,
        "Lines of the audit log that were lost: more came than could be written.",
        counts.lost_lines,
    );
    each(
        "larder_audit_failed_writes_total",
        Kind::Counter,
        "Writes of the audit log that failed; they are tried again.",
        counts.failed_writes,
    );
    each(
        "larder_audit_waiting_bytes",
        Kind::Gauge,
        "Bytes of the audit log that wait to be written.",
        counts.waiting_bytes,
    );
}

fn write_answers(app: &App, out: &mut Exposition) {
    let mut requests = out.family(
        "larder_requests_total",
        Kind::Counter,
        "S3 requests answered, by operation and by code of the error (OK: none).",
    );
    for (answer, count) in app.metrics.answers() {
        let labels = [("operation", answer.operation), ("code", answer.code)];
        requests.sample(&labels, count);
    }
}
