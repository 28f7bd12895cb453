//! Locks of the few places whose interleavings are checked by a model checker.
//!
//! In a build that is not for tests these are `parking_lot`'s. In a test a lock that is made within `modelled` is `shuttle`'s, which
//! tries another order of threads in each run; all others stay `parking_lot`'s.
//!
//! Invariant: within a model no other kind of lock is held while one of these is waited for.

#[cfg(not(test))]
pub(crate) use parking_lot::{Condvar, Mutex};

#[cfg(test)]
pub(crate) use model::{Condvar, Mutex, modelled, others_go_on};

/// A point at which a model checker lets other tasks go on; nothing in a build that is not for tests.
#[cfg(not(test))]
#[inline]
pub(crate) fn others_go_on() -> std::future::Ready<()> {
    std::future::ready(())
}

#[cfg(test)]
mod model {
    use std::{
        cell::Cell,
        fmt,
        ops::{Deref, DerefMut},
    };

    thread_local! {
        static MODELLED: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs `work`, a run of the model checker; locks that are made meanwhile are its own.
    pub(crate) fn modelled(work: impl FnOnce()) {
        MODELLED.set(true);
        work();
        MODELLED.set(false);
    }

    /// A point at which the model checker lets other tasks go on.
    pub(crate) async fn others_go_on() {
        if MODELLED.get() {
            shuttle::future::yield_now().await;
        }
    }

    /// A mutex, of whichever kind.
    pub(crate) enum Mutex<T> {
        Real(parking_lot::Mutex<T>),
        Model(shuttle::sync::Mutex<T>),
    }

    /// What a lock gives. Empty only while its condition is waited for.
    pub(crate) enum Guard<'a, T> {
        Real(parking_lot::MutexGuard<'a, T>),
        Model(Option<shuttle::sync::MutexGuard<'a, T>>),
    }

    /// A condition, of the kind of its mutex.
    #[derive(Debug)]
    pub(crate) enum Condvar {
        Real(parking_lot::Condvar),
        Model(shuttle::sync::Condvar),
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            if MODELLED.get() {
                Self::Model(shuttle::sync::Mutex::new(value))
            } else {
                Self::Real(parking_lot::Mutex::new(value))
            }
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            match self {
                Self::Real(mutex) => Guard::Real(mutex.lock()),
                Self::Model(mutex) => Guard::Model(Some(mutex.lock().unwrap())),
            }
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> fmt::Debug for Mutex<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Mutex")
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            match self {
                Self::Real(guard) => guard,
                Self::Model(guard) => guard.as_ref().unwrap(),
            }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            match self {
                Self::Real(guard) => guard,
                Self::Model(guard) => guard.as_mut().unwrap(),
            }
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            if MODELLED.get() {
                Self::Model(shuttle::sync::Condvar::new())
            } else {
                Self::Real(parking_lot::Condvar::new())
            }
        }

        pub(crate) fn wait<T>(&self, guard: &mut Guard<'_, T>) {
            match (self, guard) {
                (Self::Real(condition), Guard::Real(guard)) => condition.wait(guard),
                (Self::Model(condition), Guard::Model(guard)) => {
                    let held = guard.take().unwrap();
                    *guard = Some(condition.wait(held).unwrap());
                }
                _ => panic!("a condition of another kind than its mutex"),
            }
        }

        pub(crate) fn notify_one(&self) {
            match self {
                Self::Real(condition) => {
                    condition.notify_one();
                }
                Self::Model(condition) => condition.notify_one(),
            }
        }

        pub(crate) fn notify_all(&self) {
            match self {
                Self::Real(condition) => {
                    condition.notify_all();
                }
                Self::Model(condition) => condition.notify_all(),
            }
        }
    }
}
