use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::*;

const GRANT: Call<'_> = Call {
    method: "v1alpha1/DriverGrantBucketAccess",
    subject: ("account", "ba-1"),
};

fn calls() -> Calls {
    Calls::new(DEFAULT_TIME, Arc::new(Metrics::default()))
}

/// Those that do not wait long for what does not come.
fn impatient() -> Calls {
    Calls::new(Duration::from_millis(20), Arc::new(Metrics::default()))
}

async fn run<T: Send + 'static>(
    calls: &Calls,
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    let done = calls.run(GRANT, &MetadataMap::new(), Ok(()), work).await;
    done.map(Response::into_inner)
}

#[tokio::test]
async fn one_at_a_time_works_on_an_identifier() {
    let calls = calls();
    let at_once = Arc::new(AtomicUsize::new(0));
    let work = || {
        let at_once = Arc::clone(&at_once);
        async move {
            let others = at_once.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            at_once.fetch_sub(1, Ordering::SeqCst);
            Ok(others)
        }
    };
    let all = futures_util::future::join_all((0..20).map(|_| run(&calls, work()))).await;
    assert!(all.into_iter().all(|others| others.unwrap() == 0));
    assert_eq!(calls.0.locks.len(), 0);
}

#[tokio::test]
async fn the_second_caller_is_told_after_a_while() {
    let calls = impatient();
    let (release, held) = oneshot::channel::<()>();
    let first = {
        let calls = calls.clone();
        tokio::spawn(async move {
            run(&calls, async move {
                held.await.unwrap();
                Ok(())
            })
            .await
        })
    };
    tokio::task::yield_now().await;
    let second = run(&calls, async { Ok(()) }).await.unwrap_err();
    assert_eq!(second.code(), Code::Aborted);
    assert!(second.message().contains("account ba-1"), "{second}");
    release.send(()).unwrap();
    drop(first.await.unwrap());
    run(&calls, async { Ok(()) }).await.unwrap();
    assert_eq!(calls.0.locks.len(), 0);
}

#[tokio::test]
async fn work_that_takes_too_long_goes_on_and_keeps_its_identifier() {
    let calls = impatient();
    let (release, held) = oneshot::channel::<()>();
    let (finished, finish) = oneshot::channel();
    let slow = run(&calls, async move {
        held.await.unwrap();
        finished.send(()).unwrap();
        Ok(())
    });
    assert_eq!(slow.await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(
        run(&calls, async { Ok(()) }).await.unwrap_err().code(),
        Code::Aborted
    );
    release.send(()).unwrap();
    finish.await.unwrap();
    run(&calls, async { Ok(()) }).await.unwrap();
    assert_eq!(calls.0.locks.len(), 0);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_work_half_done() {
    let calls = calls();
    let (release, held) = oneshot::channel::<()>();
    let (finished, finish) = oneshot::channel();
    let work = async move {
        held.await.unwrap();
        finished.send(()).unwrap();
        Ok(())
    };
    let gone = timeout(Duration::from_millis(1), run(&calls, work)).await;
    assert!(gone.is_err());
    release.send(()).unwrap();
    finish.await.unwrap();
}

#[tokio::test]
async fn more_calls_than_there_is_room_for_are_told_to_come_back() {
    let calls = calls();
    let all = futures_util::future::join_all((0..=MAX_CALLS).map(|number| {
        let calls = calls.clone();
        async move {
            let id = format!("ba-{number}");
            let call = Call {
                subject: ("account", &id),
                ..GRANT
            };
            let work = async {
                tokio::task::yield_now().await;
                Ok(())
            };
            calls.run(call, &MetadataMap::new(), Ok(()), work).await
        }
    }));
    let refused: Vec<_> = all.await.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].code(), Code::Unavailable);
}

#[tokio::test]
async fn what_was_refused_is_not_begun_and_counts() {
    let calls = calls();
    let refused = Err(Status::invalid_argument("name is empty"));
    let done = calls
        .run(GRANT, &MetadataMap::new(), refused, async {
            panic!("begun") as Result<(), Status>
        })
        .await;
    assert_eq!(done.unwrap_err().message(), "name is empty");
    let text = calls.0.metrics.exposition();
    assert!(
        text.contains("grpc_status_code=\"INVALID_ARGUMENT\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let calls = calls();
    let done = run(&calls, async { panic!("on purpose") as Result<(), Status> }).await;
    assert_eq!(done.unwrap_err().code(), Code::Internal);
    run(&calls, async { Ok(()) }).await.unwrap();
}
