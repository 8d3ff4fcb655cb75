//! The standard library with the locks, atomics, threads and clock of a model.
//!
//! If a crate has this one as its dependency `std`, each path in its sources that begins with `std` leads here. Items
//! that no module replaces are the real ones. So is the prelude, with its macros: a macro that is replaced must be
//! called by its path.

pub use ::std::*;

pub mod sync;
pub mod thread;
pub mod time;

#[doc(hidden)]
pub use shuttle;

/// Lets the scheduler choose the thread that goes on.
pub fn point() {
    // Shuttle's threads don't sleep: this is a point and nothing else.
    shuttle::thread::sleep(time::Duration::ZERO);
}

/// Prepares an execution of a model: no thread of an earlier one sleeps, and the system refuses no thread.
pub fn reset() {
    time::reset();
    thread::may_refuse(false);
}

/// As `std::thread_local`, for the threads of a model.
#[macro_export]
macro_rules! thread_local {
    ($($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty = const $init:block;)*) => {$(
        $(#[$attribute])*
        $vis static $name: $crate::thread::LocalKey<$type> = {
            $crate::shuttle::thread_local! { static KEY: $type = $init; }
            $crate::thread::LocalKey::new(&KEY)
        };
    )*};
}
