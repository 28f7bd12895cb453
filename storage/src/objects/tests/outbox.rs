//! Events that writes make.

use std::collections::HashMap;

use futures_util::future::join_all;
use parking_lot::Mutex;

use super::{
    super::{testing::*, *},
    lifecycle::expires_after,
};

const QUEUE: u64 = 7;
const MOST: u64 = 1000;

/// Tells of everything in a bucket whose configuration is not `nothing`, in words that a test can read.
#[derive(Debug)]
struct Recorder {
    who: &'static str,
    most_waiting: u64,
    dropped: Mutex<u64>,
}

impl Recorder {
    fn new(who: &'static str, most_waiting: u64) -> Arc<Self> {
        let dropped = Mutex::default();
        Arc::new(Self {
            who,
            most_waiting,
            dropped,
        })
    }
}

impl Herald for Recorder {
    fn event(&self, configuration: &Document, happening: &Happening<'_>) -> Option<Event> {
        let Happening {
            what,
            bucket,
            key,
            version,
            content,
            number,
            ..
        } = happening;
        let words = format!(
            "{} {what:?} {bucket}/{} {} {} {number}",
            self.who,
            key.as_str(),
            version.map_or_else(
                || "-".to_owned(),
                |version| match version {
                    VersionId::Null => "null".to_owned(),
                    VersionId::Number(_) => "version".to_owned(),
                }
            ),
            content.map_or_else(|| "-".to_owned(), |(size, _)| size.to_string()),
        );
        (configuration.bytes().as_ref() != b"nothing").then(|| Event {
            queue: Queue::new(QUEUE),
            content: words.into(),
            most_waiting: self.most_waiting,
        })
    }

    fn dropped(&self, queue: Queue) {
        assert_eq!(queue, Queue::new(QUEUE));
        *self.dropped.lock() += 1;
    }
}

async fn configure(fixture: &Fixture, configuration: Option<&[u8]>) {
    let (name, kind) = (bucket("bucket"), DocumentKind::Notifications);
    let set = fixture.store.set_document(&name, kind, configuration);
    set.await.unwrap();
}

/// A bucket of which a recorder tells, and what a request's herald says.
async fn told() -> (Fixture, Arc<Recorder>) {
    let mut fixture = Fixture::with_bucket().await;
    let recorder = Recorder::new("client", MOST);
    fixture.store.set_herald(Recorder::new("server", MOST));
    let herald = Arc::clone(&recorder) as Arc<dyn Herald>;
    fixture.store = fixture.store.heralded(herald);
    configure(&fixture, Some(b"all")).await;
    (fixture, recorder)
}

/// What waits, in order, without the numbers.
async fn waiting(store: &Store) -> Vec<String> {
    let events = store.waiting_events(Queue::new(QUEUE), 10_000).await;
    let mut last = 0;
    let words = events.unwrap().into_iter().map(|event| {
        let words = String::from_utf8(event.content.to_vec()).unwrap();
        let (words, number) = words.rsplit_once(' ').unwrap();
        assert_eq!(number.parse(), Ok(event.number), "the number that was told");
        assert!(event.number > std::mem::replace(&mut last, event.number));
        words.to_owned()
    });
    words.collect()
}

#[tokio::test]
async fn each_kind_of_write_makes_its_event() {
    let (fixture, _) = told().await;
    let (name, store) = (bucket("bucket"), fixture.store.clone());
    fixture.put("a", b"small").await.unwrap();
    fixture.put("a", &[1; 5000]).await.unwrap();
    fixture.upload_whole("b", &[2; 6000]).await.unwrap();
    let tags = Tags(vec![("k".into(), "v".into())]);
    store.set_tags(&name, &key("a"), tags).await.unwrap();
    let set = SetAcl {
        seen: ObjectAcl::default(),
        list: Some(b"list".to_vec()),
    };
    store.set_acl(&name, &key("b"), None, set).await.unwrap();
    let update = UpdateObject {
        bucket: name.clone(),
        key: key("a"),
        headers: Headers::default(),
        tags: None,
        acl: ObjectAcl::default(),
        conditions: WriteConditions::default(),
    };
    store.update_headers(update).await.unwrap();
    fixture.delete("a").await.unwrap();
    fixture.delete("a").await.unwrap();
    assert_eq!(
        waiting(&store).await,
        [
            "client Created bucket/a - 5",
            "client Created bucket/a - 5000",
            "client Created bucket/b - 6000",
            "client Tagged bucket/a - 5000",
            "client AclSet bucket/b - 6000",
            "client Created bucket/a - 5000",
            "client Deleted bucket/a - -",
        ],
        "and nothing of what was not there to delete"
    );
}

#[tokio::test]
async fn versions_and_delete_markers_are_told_of() {
    let (fixture, _) = told().await;
    let (name, store) = (bucket("bucket"), fixture.store.clone());
    fixture.put("a", b"1").await.unwrap();
    store
        .set_versioning(&name, Versioning::Enabled)
        .await
        .unwrap();
    let version = fixture.put("a", b"22").await.unwrap().version;
    fixture.delete("a").await.unwrap();
    let conditions = WriteConditions::default;
    for version in [version, Some(VersionId::Null)] {
        let (key, governance) = (key("a"), Governance::Heeded);
        let deleted = store.delete_version(&name, &key, version, conditions(), governance);
        assert!(deleted.await.unwrap().changed);
    }
    store
        .set_versioning(&name, Versioning::Suspended)
        .await
        .unwrap();
    fixture.put("a", b"333").await.unwrap();
    assert_eq!(
        waiting(&store).await,
        [
            "client Created bucket/a - 1",
            "client Created bucket/a version 2",
            "client MarkerCreated bucket/a version -",
            "client Deleted bucket/a version -",
            "client Deleted bucket/a null -",
            "client Created bucket/a null 3",
        ]
    );
}

#[tokio::test]
async fn a_write_that_fails_makes_no_event_and_neither_does_one_that_no_rule_is_about() {
    let (fixture, _) = told().await;
    let new = WriteConditions {
        if_none_match_any: true,
        ..WriteConditions::default()
    };
    fixture.put_if("a", b"1", new.clone()).await.unwrap();
    assert!(fixture.put_if("a", b"2", new).await.is_err());
    configure(&fixture, Some(b"nothing")).await;
    fixture.put("b", b"1").await.unwrap();
    configure(&fixture, None).await;
    fixture.put("c", b"1").await.unwrap();
    assert_eq!(
        waiting(&fixture.store).await,
        ["client Created bucket/a - 1"]
    );
}

#[tokio::test]
async fn many_deletions_at_a_time_are_all_told_of() {
    let (fixture, _) = told().await;
    let names: Vec<_> = (0..100).map(|n| format!("k{n:03}")).collect();
    for name in &names {
        // With something for the sweeper, so that commits are as large as they get.
        fixture.put(name, &[3; 500]).await.unwrap();
    }
    let before = waiting(&fixture.store).await.len();
    let items = names.iter().map(|name| DeleteItem {
        key: key(name),
        version: None,
        if_match: None,
    });
    let name = bucket("bucket");
    let deleted = fixture
        .store
        .delete_objects(&name, items.collect(), Governance::Heeded);
    let deleted = deleted.await.unwrap();
    assert!(
        deleted
            .iter()
            .all(|deleted| deleted.as_ref().unwrap().changed)
    );
    let told = waiting(&fixture.store).await;
    let expected = names
        .iter()
        .map(|name| format!("client Deleted bucket/{name} - -"));
    let mut told = told[before..].to_vec();
    told.sort();
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_writes_of_one_key_the_last_number_is_what_is_there() {
    let (fixture, _) = told().await;
    for round in 1..=20_usize {
        let mut puts = Vec::new();
        for writer in 0..8 {
            let request = fixture.request("k", &vec![0; 8 * round + writer]).await;
            let store = fixture.store.clone();
            puts.push(tokio::spawn(async move { store.put_object(request).await }));
        }
        for put in join_all(puts).await {
            put.unwrap().unwrap();
        }
        let told = waiting(&fixture.store).await;
        assert_eq!(told.len(), 8 * round, "one event for each");
        let there = fixture.get("k").await.unwrap().len();
        assert_eq!(
            told.last().unwrap(),
            &format!("client Created bucket/k - {there}")
        );
    }
}

#[tokio::test]
async fn what_rules_delete_is_told_of_by_the_server() {
    let (mut fixture, _) = told().await;
    let name = bucket("bucket");
    for n in 0..40 {
        fixture.put(&format!("k{n:02}"), &[3; 500]).await.unwrap();
    }
    fixture.set_rules(vec![expires_after(1)]).await;
    let before = waiting(&fixture.store).await.len();
    fixture.clock.advance(Duration::from_hours(72));
    // As upkeep has it: nobody asked for it.
    fixture.restart();
    fixture.store.set_herald(Recorder::new("server", MOST));
    fixture.lifecycles().look_for_work().await.unwrap();
    let told = waiting(&fixture.store).await;
    let mut told = told[before..].to_vec();
    told.sort();
    let gone = (0..40).map(|n| format!("server Expired bucket/k{n:02} - -"));
    assert_eq!(told, gone.collect::<Vec<_>>());

    let store = fixture.store.clone();
    store
        .set_versioning(&name, Versioning::Enabled)
        .await
        .unwrap();
    fixture.put("v", b"1").await.unwrap();
    fixture.clock.advance(Duration::from_hours(72));
    fixture.lifecycles().look_for_work().await.unwrap();
    let told = waiting(&store).await;
    assert_eq!(
        told.last().unwrap(),
        "server MarkerByRule bucket/v version -"
    );
}

#[tokio::test]
async fn events_wait_until_they_are_settled_and_are_counted() {
    let (mut fixture, _) = told().await;
    for n in 0..150 {
        fixture.put(&format!("{n}"), b"1").await.unwrap();
    }
    let queue = Queue::new(QUEUE);
    assert_eq!(fixture.store.events_waiting(queue).objects, 150);
    assert_eq!(fixture.store.events_waiting(Queue::new(8)).objects, 0);
    fixture.restart();
    let events = fixture.store.waiting_events(queue, 140).await.unwrap();
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    fixture.store.settle_events(queue, &numbers).await.unwrap();
    assert_eq!(waiting(&fixture.store).await.len(), 10);
    let tally = fixture.store.events_waiting(queue);
    assert!(tally.objects == 10 && tally.bytes > 100, "{tally:?}");
    // Whom they were for may have settled some of them before.
    fixture.store.settle_events(queue, &numbers).await.unwrap();
    assert_eq!(fixture.store.events_waiting(queue).objects, 10);
}

#[tokio::test]
async fn beyond_the_bound_events_are_dropped_and_writes_are_not() {
    let fixture = Fixture::with_bucket().await;
    let recorder = Recorder::new("client", 3);
    fixture
        .store
        .set_herald(Arc::clone(&recorder) as Arc<dyn Herald>);
    configure(&fixture, Some(b"all")).await;
    for n in 0..5 {
        fixture.put(&format!("{n}"), b"1").await.unwrap();
    }
    assert_eq!(waiting(&fixture.store).await.len(), 3);
    assert_eq!(*recorder.dropped.lock(), 2);
    let usage = fixture.store.usage(&bucket("bucket")).await.unwrap();
    assert_eq!(usage.objects, 5, "events are no objects of the bucket");
}

#[tokio::test]
async fn whoever_waits_for_events_is_told() {
    let (fixture, _) = told().await;
    let mut added = fixture.store.events_added();
    added.mark_unchanged();
    fixture.put("a", b"1").await.unwrap();
    assert!(added.has_changed().unwrap());
    added.mark_unchanged();
    configure(&fixture, None).await;
    fixture.put("a", b"1").await.unwrap();
    assert!(!added.has_changed().unwrap());
    let event = |n: u64| Event {
        queue: Queue::new(n),
        content: format!("{n}").into(),
        most_waiting: 0,
    };
    let many: Vec<_> = (0..130).map(event).collect();
    fixture.store.add_events(&many).await.unwrap();
    assert!(added.has_changed().unwrap());
    let mut found = HashMap::new();
    for n in 0..130 {
        let waiting = fixture.store.waiting_events(Queue::new(n), 10).await;
        found.insert(n, waiting.unwrap().len());
    }
    assert_eq!(found.remove(&QUEUE), Some(2));
    assert!(found.values().all(|count| *count == 1));
}
