//! Waiting between tries. Whatever tells of itself by an event is waited for by that instead.

use std::time::Duration;

/// Waits that long.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that waits by the real clock, for what no event tells of: there is no simulated one here"
)]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
