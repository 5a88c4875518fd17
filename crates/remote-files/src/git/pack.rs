//! A pack as it comes from a server, to a pack with an index that objects can be read from.
//!
//! The server chooses every byte. So the pack is first written to a file of bounded size, then read once to see what it would
//! become, and only what fits the budget is indexed.

mod scan;

use std::io::{self, BufRead, BufReader, Seek as _, Write as _};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix_pack::data::input::Mode;
use gix_utils::progress::Discard;

use super::repository::Budget;
use crate::{Error, ErrorKind};
use scan::scan;

/// Receives a pack and leaves it, with its index, in `directory`.
///
/// # Errors
/// [`ErrorKind::TooLarge`], [`ErrorKind::Malformed`], [`ErrorKind::Local`]; what went wrong while it was read is kept by the
/// transport.
pub(super) fn receive(
    pack: &mut dyn BufRead,
    directory: &Path,
    budget: &Budget,
    is_over: &AtomicBool,
) -> Result<(), Error> {
    let local = |error: io::Error| Error::local("the pack cannot be stored", &error);
    // A file without a name goes with its handle, whatever happens.
    let mut file = tempfile::tempfile_in(directory).map_err(local)?;
    loop {
        let available = pack
            .fill_buf()
            .map_err(|_| Error::new(ErrorKind::Malformed, "what the server sent is no whole pack"))?;
        if available.is_empty() {
            break;
        }
        let amount = available.len();
        file.write_all(available).map_err(local)?;
        pack.consume(amount);
    }
    file.rewind().map_err(local)?;
    scan(BufReader::new(&file), budget)?;
    file.rewind().map_err(local)?;
    let options = gix_pack::bundle::write::Options {
        thread_limit: Some(1),
        iteration_mode: Mode::Verify,
        alloc_limit_bytes: Some(budget.object_bytes),
        ..Default::default()
    };
    gix_pack::Bundle::write_to_directory(
        &mut BufReader::new(&file),
        Some(directory),
        &mut Discard,
        is_over,
        None::<gix_odb::Handle>,
        gix_hash::Kind::Sha1,
        options,
    )
    .map_err(|_| Error::new(ErrorKind::Malformed, "the server's pack cannot be indexed"))?;
    Ok(())
}

#[cfg(test)]
mod tests;
