//! Whether the clocks of Larder and of the API server agree with that of this machine, by the `Date` of their answers.

use kube::Client;
use time::{Duration, OffsetDateTime};

use super::Check;
use crate::{backend::date_of, provision::Provisioner};

/// Nobody need know of less. It is also what the controllers allow the clocks of upstream's to be apart.
const AGREED: Duration = Duration::seconds(30);
/// Above this S3 refuses every request.
const REFUSED: Duration = Duration::minutes(15);
/// Of `Date`, which is cut to seconds: on the average it was half of one later.
const CUT: Duration = Duration::milliseconds(500);

const OF_LARDER: &str = "set both clocks by a time server (chrony, systemd-timesyncd); S3 refuses every request from a clock that is more than 15 minutes apart";
const OF_CLUSTER: &str = "set both clocks by a time server (chrony, systemd-timesyncd); tokens of service accounts are valid, and leases held, by the cluster's clock";

/// Where the store says nothing there is nothing to tell: that it does not answer was told.
pub(super) async fn of_store(provisioner: &Provisioner) -> Option<Check> {
    let now = provisioner.settings().now;
    let asked = async { provisioner.server_date().await.ok().flatten() };
    let ahead = measure(now, asked).await?;
    Some(judge("Larder", ahead, OF_LARDER))
}

pub(super) async fn of_cluster(client: &Client, now: fn() -> OffsetDateTime) -> Option<Check> {
    let asked = async {
        let request = http::Request::get("/version").body(kube::client::Body::empty());
        let answer = client.send(request.ok()?).await.ok()?;
        date_of(answer.headers())
    };
    let ahead = measure(now, asked).await?;
    Some(judge("the API server", ahead, OF_CLUSTER))
}

/// How far another clock is ahead of this one, give or take half a second and half of the time that asking took.
async fn measure(
    now: fn() -> OffsetDateTime,
    asked: impl Future<Output = Option<OffsetDateTime>>,
) -> Option<Duration> {
    let before = now();
    let shown = asked.await? + CUT;
    let half_way = before + (now() - before) / 2;
    Some(shown - half_way)
}

fn judge(whose: &str, ahead: Duration, cure: &str) -> Check {
    let apart = ahead.abs();
    if apart <= AGREED {
        return Check::fine(format!(
            "the clock of {whose} agrees with this machine's, within {} s",
            AGREED.whole_seconds()
        ));
    }
    let word = if ahead.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    let found = format!(
        "the clock of {whose} is {} min {} s {word} this machine's",
        apart.whole_minutes(),
        apart.whole_seconds() % 60
    );
    if apart < REFUSED {
        Check::odd(found, cure)
    } else {
        Check::wrong(found, cure)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn clocks_are_told_of_long_before_they_are_refused() {
        let of = |seconds: i64| judge("Larder", Duration::seconds(seconds), OF_LARDER);
        for seconds in [0, 30, -30] {
            assert_eq!(of(seconds).verdict, Verdict::Fine, "{seconds}");
        }
        for seconds in [31, -31, 899, -899] {
            assert_eq!(of(seconds).verdict, Verdict::Odd, "{seconds}");
        }
        for seconds in [900, -86_400] {
            assert_eq!(of(seconds).verdict, Verdict::Wrong, "{seconds}");
        }
        assert_eq!(
            of(125).found,
            "the clock of Larder is 2 min 5 s ahead of this machine's"
        );
        assert!(of(-61).found.contains("1 min 1 s behind"));
        assert!(of(-61).cure.contains("time server"));
    }

    #[tokio::test]
    async fn a_clock_is_measured_against_half_of_the_way() {
        const NOW: fn() -> OffsetDateTime = || OffsetDateTime::UNIX_EPOCH;
        let shown = async { Some(OffsetDateTime::UNIX_EPOCH + Duration::minutes(2)) };
        assert_eq!(measure(NOW, shown).await, Some(Duration::minutes(2) + CUT));
        assert_eq!(measure(NOW, async { None }).await, None);
    }
}
