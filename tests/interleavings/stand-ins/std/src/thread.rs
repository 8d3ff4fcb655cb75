//! The threads of a model.

use ::std::cell::Cell;
use ::std::io;

use shuttle::rand::Rng as _;

pub use ::std::thread::*;
pub use shuttle::thread::{JoinHandle, sleep, spawn, yield_now};

/// As `std::thread::LocalKey`.
#[derive(Debug)]
pub struct LocalKey<T: 'static>(&'static shuttle::thread::LocalKey<T>);

impl<T> LocalKey<T> {
    /// For `thread_local`.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(key: &'static shuttle::thread::LocalKey<T>) -> Self {
        Self(key)
    }
}

impl<T: Copy> LocalKey<Cell<T>> {
    /// As the real one's.
    #[must_use]
    pub fn get(&'static self) -> T {
        self.0.with(Cell::get)
    }

    /// As the real one's.
    pub fn set(&'static self, value: T) {
        self.0.with(|cell| cell.set(value));
    }
}

::std::thread_local! {
    static MAY_REFUSE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the system may refuse threads from now on. The schedule decides which ones.
pub fn may_refuse(whether: bool) {
    MAY_REFUSE.set(whether);
}

/// As `std::thread::Builder`.
#[derive(Debug, Default)]
pub struct Builder(shuttle::thread::Builder);

impl Builder {
    /// As the real one's.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As the real one's.
    #[must_use]
    pub fn name(self, name: String) -> Self {
        Self(self.0.name(name))
    }

    /// As the real one's.
    ///
    /// # Errors
    /// The system refuses the thread: see [`may_refuse`].
    pub fn spawn<F, T>(self, work: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        crate::point();
        if MAY_REFUSE.get() && shuttle::rand::thread_rng().gen_bool(0.5) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.spawn(work)
    }
}
