//! The suite that every view runs: what the embedded engine may rely on, whatever the engine below.
//!
//! `kill` (SIGKILL in the middle of applying), `model` (random operations beside a `BTreeMap`) and `damage`
//! (bit flips) are in files of their own.

mod concurrency;
mod contract;
mod damage;
mod kill;
mod model;

use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::{Engine, MemoryView, View, ViewChange, ViewSettings, open};

/// Something that holds a view and can be opened again and again.
trait Home {
    /// Opens the view. What was opened before is dropped by then.
    fn open(&self) -> Arc<dyn View>;
}

/// A directory on disk.
struct Dir {
    dir: TempDir,
    engine: Engine,
}

impl Dir {
    fn new(engine: Engine) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            engine,
        }
    }
}

impl Home for Dir {
    fn open(&self) -> Arc<dyn View> {
        open(self.engine, self.dir.path(), small()).unwrap()
    }
}

impl Home for MemoryView {
    fn open(&self) -> Arc<dyn View> {
        Arc::new(self.clone())
    }
}

/// Small enough that a test of some hundred KiB reaches tables and compaction, not only memory.
fn small() -> ViewSettings {
    ViewSettings {
        cache_bytes: 1 << 20,
        write_buffer_bytes: 64 << 10,
    }
}

fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> ViewChange {
    ViewChange {
        key: bytes(key),
        value: Some(bytes(value)),
    }
}

fn remove(key: impl AsRef<[u8]>) -> ViewChange {
    ViewChange {
        key: bytes(key),
        value: None,
    }
}

fn bytes(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.as_ref())
}

/// All entries with `from <= key < to`.
fn entries(view: &dyn View, from: &[u8], to: &[u8]) -> Vec<(Bytes, Bytes)> {
    let mut found = Vec::new();
    view.scan(from, to, &mut |key, value| {
        found.push((bytes(key), bytes(value)));
        true
    })
    .unwrap();
    found
}

/// A key above all that the suite uses.
const END: &[u8] = &[0xff; 16];

/// Makes a module of tests for one kind of home.
macro_rules! suite {
    ($name:ident, $home:expr, $($module:ident::$test:ident),* $(,)?) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$module::$test(&$home);
                }
            )*
        }
    };
}

/// The list of tests, once for all homes.
macro_rules! suites {
    ($($name:ident = $home:expr),* $(,)?) => {
        $(suite! {
            $name, $home,
            contract::get_finds_what_was_put_and_nothing_else,
            contract::overwriting_and_removing_take_effect_at_once,
            contract::scan_is_in_byte_order,
            contract::scan_bounds_are_inclusive_and_exclusive,
            contract::scan_stops_when_told,
            contract::scan_may_call_the_view,
            contract::refused_batch_changes_nothing,
            contract::later_change_of_a_key_wins,
            contract::limits_are_usable,
            contract::reopening_finds_everything,
            contract::overwritten_values_do_not_come_back,
            concurrency::readers_never_go_back_while_writing,
            concurrency::concurrent_writers_lose_nothing,
            concurrency::persist_runs_beside_writers,
            model::equals_a_btreemap_through_reopening,
        })*
    };
}

suites! {
    fjall = super::Dir::new(super::Engine::Fjall),
    sled = super::Dir::new(super::Engine::Sled),
    memory = super::MemoryView::default(),
}

#[test]
fn view_of_another_engine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(Engine::Fjall, dir.path(), small()).unwrap());
    let error = open(Engine::Sled, dir.path(), small()).unwrap_err();
    assert!(
        error.to_string().contains("made by fjall, not sled"),
        "{error}"
    );
    drop(open(Engine::Fjall, dir.path(), small()).unwrap());
}

#[test]
fn view_in_use_is_refused() {
    for engine in Engine::ALL {
        let dir = tempfile::tempdir().unwrap();
        let _held = open(engine, dir.path(), small()).unwrap();
        assert!(open(engine, dir.path(), small()).is_err(), "{engine}");
    }
}

#[test]
fn engine_names_parse_and_print() {
    for engine in Engine::ALL {
        assert_eq!(engine.to_string().parse::<Engine>().unwrap(), engine);
    }
    assert!("Fjall".parse::<Engine>().is_err());
    assert!("".parse::<Engine>().is_err());
}
