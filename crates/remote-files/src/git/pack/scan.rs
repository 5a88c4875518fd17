//! What a pack would become: counts, sizes and depths, before anything is built from it.

use std::collections::HashMap;
use std::io::{self, BufRead};

use gix_pack::data::entry::Header;
use gix_pack::data::{Entry, header};
use gix_zlib::Decompress;
use gix_zlib::stream::inflate;

use crate::git::repository::Budget;
use crate::{Error, ErrorKind};

/// Longest chain of deltas that git itself makes.
const MAX_DEPTH: u32 = 4095;
const HASH_BYTES: usize = 20;

/// Reads the whole pack once. No more is unpacked than the pack declares, and no more may be declared than the budget has.
///
/// # Errors
/// [`ErrorKind::TooLarge`] if it has more objects or bytes than the budget, or longer chains of deltas;
/// [`ErrorKind::Malformed`] if it is no pack.
pub(super) fn scan(mut pack: impl BufRead, budget: &Budget) -> Result<(), Error> {
    let mut head = [0; header::SIZE];
    pack.read_exact(&mut head).map_err(malformed)?;
    let (_version, count) = header::decode(&head).map_err(malformed)?;
    if count > budget.objects {
        return Err(too_large("more objects"));
    }
    let mut tally = Tally::default();
    let mut offset = header::SIZE as u64;
    for _ in 0..count {
        let entry = Entry::from_read(&mut pack, offset, HASH_BYTES).map_err(malformed)?;
        let declared = bounded(entry.decompressed_size, budget)?;
        tally.unpacked += declared;
        tally.check(budget)?;
        let (consumed, start) = measure(&mut pack, declared)?;
        let base = match entry.header {
            Header::OfsDelta { base_distance } => {
                let base = offset.checked_sub(base_distance).and_then(|base| tally.chains.get(&base));
                Some(*base.ok_or_else(|| malformed("a base is missing"))?)
            }
            // Which object that is shows only when all are built; its chain is at most as long as the longest.
            Header::RefDelta { .. } => Some(tally.longest),
            _ => None,
        };
        let chain = match base {
            Some(base) => {
                let built = result_size(&start).ok_or_else(|| malformed("a delta has no sizes"))?;
                let built = bounded(built, budget)?;
                tally.unpacked += built;
                tally.check(budget)?;
                Chain { depth: base.depth + 1, bytes: base.bytes + declared + built }
            }
            None => Chain { depth: 0, bytes: declared },
        };
        if chain.depth > MAX_DEPTH || chain.bytes > budget.chain_bytes {
            return Err(too_large("longer chains of deltas"));
        }
        tally.longest.depth = tally.longest.depth.max(chain.depth);
        tally.longest.bytes = tally.longest.bytes.max(chain.bytes);
        tally.chains.insert(offset, chain);
        offset += entry.header_size() as u64 + consumed;
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    /// By offset.
    chains: HashMap<u64, Chain>,
    longest: Chain,
    unpacked: usize,
}

/// An object, and those that it is built from: while it is built, all of them are in memory.
#[derive(Clone, Copy, Default)]
struct Chain {
    depth: u32,
    bytes: usize,
}

impl Tally {
    fn check(&self, budget: &Budget) -> Result<(), Error> {
        if self.unpacked > budget.unpacked_bytes { Err(too_large("more bytes")) } else { Ok(()) }
    }
}

fn malformed(_cause: impl ToString) -> Error {
    Error::new(ErrorKind::Malformed, "what the server sent is no pack")
}

fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the commit has {what} than a source may have"))
}

fn bounded(size: u64, budget: &Budget) -> Result<usize, Error> {
    let size = usize::try_from(size).ok().filter(|size| *size <= budget.object_bytes);
    size.ok_or_else(|| too_large("a larger object"))
}

/// Unpacks one entry and forgets it. How many bytes it took in the pack, and the first that came out.
fn measure(pack: &mut impl BufRead, declared: usize) -> Result<(u64, Vec<u8>), Error> {
    let mut state = Decompress::new();
    let mut buffer = [0; 8 * 1024];
    let (mut unpacked, mut start) = (0, Vec::new());
    loop {
        let amount = inflate::read(pack, &mut state, &mut buffer).map_err(malformed)?;
        if unpacked == 0 {
            start.extend_from_slice(&buffer[..amount.min(2 * MAX_SIZE_BYTES)]);
        }
        unpacked += amount;
        if unpacked > declared {
            return Err(malformed("it is longer than declared"));
        }
        if amount == 0 {
            break;
        }
    }
    if unpacked < declared {
        return Err(malformed(io::ErrorKind::UnexpectedEof));
    }
    Ok((state.total_in(), start))
}

/// Most bytes of a size at the head of a delta that fits 63 bits.
const MAX_SIZE_BYTES: usize = 9;

/// The size of what a delta builds, which follows that of its base.
fn result_size(delta: &[u8]) -> Option<u64> {
    let (_base, rest) = read_size(delta)?;
    read_size(rest).map(|(size, _)| size)
}

/// Seven bits a byte, the lowest first.
fn read_size(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut size = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(MAX_SIZE_BYTES) {
        size |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((size, &bytes[index + 1..]));
        }
    }
    None
}
