//! A reader that ends with an error after so many bytes.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

pub(super) struct Limited<R> {
    inner: R,
    left: u64,
    is_over: Rc<Cell<bool>>,
}

impl<R> Limited<R> {
    pub(super) fn new(inner: R, bytes: u64) -> Self {
        Self { inner, left: bytes, is_over: Rc::default() }
    }

    /// Whether the limit is why reading failed.
    pub(super) fn is_over(&self) -> Rc<Cell<bool>> {
        self.is_over.clone()
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let amount = self.inner.read(buffer)?;
        if amount as u64 > self.left {
            self.is_over.set(true);
            return Err(io::Error::other("too many bytes"));
        }
        self.left -= amount as u64;
        Ok(amount)
    }
}
