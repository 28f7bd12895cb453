//! Waiting between tries.

use std::time::Duration;

/// Waits that long.
#[expect(
    clippy::disallowed_methods,
    reason = "the place that waits by the real clock, for what no event tells of"
)]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
