//! The error document.

use crate::error::S3Error;

use super::writer::Writer;

/// The `Error` document. `resource` is the path as requested, used where the error names none;
/// `host_id` is the value of `x-amz-id-2`.
pub fn error(error: &S3Error, resource: &str, request_id: &str, host_id: &str) -> String {
    let mut w = Writer::bare("Error");
    w.text("Code", error.code().as_str());
    w.text("Message", error.message());
    for (name, value) in error.elements() {
        w.text(name, value);
    }
    w.text("Resource", error.resource_path().unwrap_or(resource));
    w.text("RequestId", request_id);
    w.text("HostId", host_id);
    w.finish()
}
