//! A panic of the code that reads bytes of an untrusted host ends that read, and nothing else.
//!
//! Everywhere else a panic is a defect that must not leave a half-dead process, so it ends the process at once. The program is compiled with
//! unwinding panics, and [`abort_on_other_panics`] gives all others back what `panic = "abort"` does.

use std::cell::Cell;
use std::panic;
use std::process;

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// From now on a panic ends the process, unless it is in what [`contain`] runs.
pub fn abort_on_other_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |information| {
        report(information);
        if !IS_CONTAINED.get() {
            process::abort();
        }
    }));
}

/// Runs `work` on this thread. Its panic unwinds to the caller that joins the thread or catches it.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            IS_CONTAINED.set(false);
        }
    }
    IS_CONTAINED.set(true);
    let _reset = Reset;
    work()
}

#[cfg(test)]
mod tests;
