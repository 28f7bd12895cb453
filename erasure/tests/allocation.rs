//! The calls that move bytes do not allocate.

#![expect(unsafe_code, reason = "a global allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

mod support;
use support::{codecs, slices, slices_mut};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what the current thread takes.
struct Counting;

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system allocator's demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(call: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    call();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert!(allocations_of(|| drop(std::hint::black_box(vec![1u8; 100]))) > 0);
}

#[test]
fn no_call_allocates_once_a_codec_or_plan_exists() {
    for codec in codecs("4+8".parse().unwrap()) {
        let data = vec![vec![3u8; 10_000]; 4];
        let mut parity = vec![vec![0u8; 10_000]; 8];
        let mut rebuilt = vec![vec![0u8; 10_000]; 4];
        let plan = codec.plan(&[4, 5, 6, 7], &[0, 1, 2, 3]).unwrap();
        let (data, mut rebuilt) = (slices(&data), slices_mut(&mut rebuilt));
        let mut parity_slices = slices_mut(&mut parity);
        let level = codec.level();
        let encode = || codec.encode(&data, &mut parity_slices).unwrap();
        assert_eq!(allocations_of(encode), 0, "encode {level}");
        let update = || {
            codec
                .update(1, data[1], data[2], &mut parity_slices)
                .unwrap();
        };
        assert_eq!(allocations_of(update), 0, "update {level}");
        let progressive = || {
            let mut progressive = codec.progressive();
            progressive.add(3, data[3], &mut parity_slices).unwrap();
            progressive
                .add_group(&[2, 0, 1], &data[..3], &mut parity_slices)
                .unwrap();
            progressive.finish().unwrap();
        };
        assert_eq!(allocations_of(progressive), 0, "progressive {level}");
        let parity_slices = slices(&parity);
        let verify = || assert!(codec.verify(&data, &parity_slices).is_ok());
        assert_eq!(allocations_of(verify), 0, "verify {level}");
        let run = || plan.run(&parity_slices[..4], &mut rebuilt).unwrap();
        assert_eq!(allocations_of(run), 0, "run {level}");
    }
}
