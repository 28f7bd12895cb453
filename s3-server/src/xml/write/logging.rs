//! `BucketLoggingStatus`.

use super::writer::Writer;
use crate::xml::parse::{LogDestination, LogKeyFormat};

/// The document; an empty one where nothing is logged.
pub fn bucket_logging(destination: Option<&LogDestination>) -> String {
    let mut w = Writer::new("BucketLoggingStatus", 256);
    if let Some(destination) = destination {
        w.nested("LoggingEnabled", |w| {
            w.text("TargetBucket", &destination.bucket);
            w.text("TargetPrefix", &destination.prefix);
            key_format(w, destination.format);
        });
    }
    w.finish()
}

fn key_format(w: &mut Writer, format: LogKeyFormat) {
    let source = match format {
        LogKeyFormat::Simple => return,
        LogKeyFormat::DeliveryTime => "DeliveryTime",
        LogKeyFormat::EventTime => "EventTime",
    };
    w.nested("TargetObjectKeyFormat", |w| {
        w.nested("PartitionedPrefix", |w| {
            w.text("PartitionDateSource", source);
        });
    });
}
