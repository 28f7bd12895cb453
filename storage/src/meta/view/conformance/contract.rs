//! What each method promises, one at a time.

use super::{END, Home, bytes, entries, put, remove};
use crate::meta::view::{MAX_VIEW_KEY_BYTES, MAX_VIEW_VALUE_BYTES};

pub(super) fn get_finds_what_was_put_and_nothing_else(home: &impl Home) {
    let view = home.open();
    view.apply(&[put("b", "1"), put("bb", "")]).unwrap();
    view.apply(&[]).unwrap();
    assert_eq!(view.get(b"b").unwrap(), Some(bytes("1")));
    assert_eq!(view.get(b"bb").unwrap(), Some(bytes("")));
    for absent in [&b""[..], b"a", b"b\0", b"bbb", b"c"] {
        assert_eq!(view.get(absent).unwrap(), None, "{absent:?}");
    }
}

pub(super) fn overwriting_and_removing_take_effect_at_once(home: &impl Home) {
    let view = home.open();
    view.apply(&[put("a", "1"), put("b", "2")]).unwrap();
    view.apply(&[put("a", "3"), remove("b"), remove("never there")])
        .unwrap();
    assert_eq!(entries(&*view, b"", END), [(bytes("a"), bytes("3"))]);
    assert_eq!(view.get(b"b").unwrap(), None);
    view.apply(&[put("b", "4")]).unwrap();
    assert_eq!(view.get(b"b").unwrap(), Some(bytes("4")));
}

pub(super) fn scan_is_in_byte_order(home: &impl Home) {
    let view = home.open();
    let mut keys: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    keys.extend((0..=255_u8).map(|byte| vec![7, byte]));
    for key in keys.iter().rev() {
        view.apply(&[put(key, key)]).unwrap();
    }
    keys.retain(|key| key.as_slice() < END);
    keys.sort();
    let found = entries(&*view, b"", END);
    let found: Vec<Vec<u8>> = found.iter().map(|(key, _)| key.to_vec()).collect();
    assert_eq!(found, keys);
}

pub(super) fn scan_bounds_are_inclusive_and_exclusive(home: &impl Home) {
    let view = home.open();
    view.apply(&["a", "b", "b\0", "c"].map(|key| put(key, key)))
        .unwrap();
    let keys = |from: &str, to: &str| {
        let found = entries(&*view, from.as_bytes(), to.as_bytes());
        found
            .into_iter()
            .map(|(key, _)| String::from_utf8(key.to_vec()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys("a", "c"), ["a", "b", "b\0"]);
    assert_eq!(keys("b", "b\0"), ["b"]);
    assert_eq!(keys("b\0", "d"), ["b\0", "c"]);
    assert_eq!(keys("", "b"), ["a"]);
    for nothing in [
        keys("b", "b"),
        keys("c", "a"),
        keys("d", "e"),
        keys("", ""),
        keys("z", ""),
    ] {
        assert_eq!(nothing, Vec::<String>::new());
    }
}

pub(super) fn scan_stops_when_told(home: &impl Home) {
    let view = home.open();
    view.apply(&["a", "b", "c", "d"].map(|key| put(key, key)))
        .unwrap();
    let mut visited = Vec::new();
    view.scan(b"a", END, &mut |key, _| {
        visited.push(bytes(key));
        visited.len() < 2
    })
    .unwrap();
    assert_eq!(visited, [bytes("a"), bytes("b")]);
}

pub(super) fn scan_may_call_the_view(home: &impl Home) {
    let view = home.open();
    view.apply(&["a", "b", "c"].map(|key| put(key, "old")))
        .unwrap();
    let mut visited = 0;
    view.scan(b"a", b"z", &mut |key, _| {
        assert!(view.get(key).unwrap().is_some());
        view.apply(&[put([b"x", key].concat(), "new")]).unwrap();
        visited += 1;
        visited < 3
    })
    .unwrap();
    assert_eq!(visited, 3);
    assert_eq!(entries(&*view, b"x", b"y").len(), 3);
}

pub(super) fn refused_batch_changes_nothing(home: &impl Home) {
    let view = home.open();
    let long_key = vec![b'k'; MAX_VIEW_KEY_BYTES + 1];
    let long_value = vec![b'v'; MAX_VIEW_VALUE_BYTES + 1];
    for bad in [
        put("", "v"),
        remove(""),
        put(&long_key, "v"),
        put("k", &long_value),
    ] {
        assert!(view.apply(&[put("a", "1"), bad]).is_err());
        assert_eq!(entries(&*view, b"", END), []);
    }
    assert_eq!(view.get(&long_key).unwrap(), None);
}

pub(super) fn later_change_of_a_key_wins(home: &impl Home) {
    let view = home.open();
    view.apply(&[
        put("a", "1"),
        remove("a"),
        put("a", "2"),
        put("b", "1"),
        remove("b"),
    ])
    .unwrap();
    assert_eq!(entries(&*view, b"", END), [(bytes("a"), bytes("2"))]);
    view.persist().unwrap();
    drop(view);
    assert_eq!(entries(&*home.open(), b"", END), [(bytes("a"), bytes("2"))]);
}

pub(super) fn limits_are_usable(home: &impl Home) {
    let key = |first: u8, key_bytes: usize| [vec![first], vec![b'k'; key_bytes - 1]].concat();
    let sizes = [
        (2 << 10, 64 << 10),
        (MAX_VIEW_KEY_BYTES, MAX_VIEW_VALUE_BYTES),
        (1, 0),
    ];
    let view = home.open();
    for (first, (key_bytes, value_bytes)) in (b'a'..).zip(sizes) {
        view.apply(&[put(key(first, key_bytes), vec![first; value_bytes])])
            .unwrap();
    }
    view.persist().unwrap();
    drop(view);
    let view = home.open();
    for (first, (key_bytes, value_bytes)) in (b'a'..).zip(sizes) {
        let found = view.get(&key(first, key_bytes)).unwrap();
        assert_eq!(found, Some(vec![first; value_bytes].into()));
    }
    assert_eq!(entries(&*view, b"", END).len(), sizes.len());
}

pub(super) fn reopening_finds_everything(home: &impl Home) {
    for round in 0..3_u32 {
        let view = home.open();
        assert_eq!(entries(&*view, b"", END).len(), round as usize * 1_000);
        for i in 0..1_000_u32 {
            view.apply(&[put(format!("{round}/{i:04}"), vec![b'v'; 300])])
                .unwrap();
        }
        view.persist().unwrap();
    }
}

pub(super) fn overwritten_values_do_not_come_back(home: &impl Home) {
    for round in 0..8_u8 {
        let view = home.open();
        for i in 0..200_u32 {
            let key = format!("{i:04}");
            let gone = round > 0 && (i + u32::from(round)) % 3 == 0;
            let change = if gone {
                remove(&key)
            } else {
                put(&key, [round; 400])
            };
            view.apply(&[change]).unwrap();
        }
        view.persist().unwrap();
        drop(view);
        let view = home.open();
        for i in 0..200_u32 {
            let gone = round > 0 && (i + u32::from(round)) % 3 == 0;
            let expected = (!gone).then(|| bytes([round; 400]));
            assert_eq!(
                view.get(format!("{i:04}").as_bytes()).unwrap(),
                expected,
                "{round} {i}"
            );
        }
    }
}
