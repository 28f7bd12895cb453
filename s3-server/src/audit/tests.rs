use std::sync::mpsc;

use larder_storage::clock::SystemClock;
use parking_lot::Mutex;

use super::{
    writer::{Sink, Unwritten, Writer},
    *,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Takes nothing until it is told how much: `Err` fails, `Ok(n)` takes n bytes and fails if there are more.
#[derive(Debug)]
struct Told {
    turns: mpsc::Receiver<Option<usize>>,
    taken: Taken,
}

impl Sink for Told {
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        // Nobody tells any more: it takes all.
        let takes = self.turns.recv().unwrap_or(Some(usize::MAX)).unwrap_or(0);
        let count = takes.min(lines.len());
        self.taken.lock().extend_from_slice(&lines[..count]);
        if count == lines.len() {
            return Ok(());
        }
        Err(Unwritten {
            written_bytes: count,
            error: io::ErrorKind::StorageFull.into(),
        })
    }

    fn reopen(&mut self) {
        self.taken.lock().extend_from_slice(b"reopened\n");
    }
}

type Taken = Arc<Mutex<Vec<u8>>>;

fn told() -> (Writer, mpsc::Sender<Option<usize>>, Taken) {
    let (turn, turns) = mpsc::channel();
    let taken = Taken::default();
    let sink = Told {
        turns,
        taken: Arc::clone(&taken),
    };
    let writer = Writer::start(Box::new(sink), Arc::new(SystemClock)).unwrap();
    (writer, turn, taken)
}

#[test]
fn what_a_full_disk_did_not_take_is_written_once_it_can_be() {
    let (writer, turn, taken) = told();
    writer.add(b"first line\n");
    turn.send(Some(4)).unwrap();
    turn.send(None).unwrap();
    writer.add(b"second\n");
    // The next try finds nobody who tells, and takes all.
    drop(turn);
    writer.close(PATIENCE);
    assert_eq!(*taken.lock(), b"first line\nsecond\n");
    assert!((1..=2).contains(&writer.counts().failed_writes));
}

#[test]
fn lines_that_wait_are_bounded_and_what_is_lost_is_a_line() {
    let (writer, turn, taken) = told();
    writer.add(b"the thread has this one\n");
    // Until it does: nothing is written, and nothing waits.
    while writer.counts().waiting_bytes > 0 {
        std::thread::yield_now();
    }
    let line = vec![b'x'; 1 << 20];
    for _ in 0..10 {
        writer.add(&line);
    }
    let counts = writer.counts();
    assert_eq!((counts.lines, counts.lost_lines), (9, 2));
    assert_eq!(counts.waiting_bytes, 8 << 20);
    drop(turn);
    writer.close(PATIENCE);
    let taken = taken.lock();
    let end = String::from_utf8_lossy(&taken[taken.len() - 60..]).into_owned();
    assert!(end.ends_with("\"lost_lines\":2}\n"), "{end}");
}

#[test]
fn a_sink_that_never_comes_back_does_not_hold_the_stop() {
    let (writer, turn, _) = told();
    writer.add(b"line\n");
    writer.close(Duration::from_millis(10));
    drop(turn);
}

#[test]
fn the_place_is_opened_again_on_demand() {
    let (writer, turn, taken) = told();
    writer.reopen();
    drop(turn);
    writer.close(PATIENCE);
    assert_eq!(*taken.lock(), b"reopened\n");
}
