//! How often something may be done: in all, and for one address, so that one client does not use up what there is for all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

/// Addresses that are distinguished at a time. Those with a full bucket are forgotten first.
const ADDRESSES: usize = 4096;

/// Tokens that come back steadily, up to a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        *self = Self { tokens: elapsed.mul_add(rate.per_second, self.tokens).min(rate.burst), at: now };
    }
}

pub(super) struct Budget {
    in_all: Rate,
    per_address: Rate,
    buckets: Mutex<Buckets>,
}

struct Buckets {
    all: Bucket,
    addresses: HashMap<Origin, Bucket>,
}

/// A host: with IPv6 one has a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes())),
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

impl Budget {
    pub(super) fn new(in_all: Rate, per_address: Rate) -> Self {
        let buckets = Buckets { all: Bucket::full(in_all, Instant::now()), addresses: HashMap::new() };
        Self { in_all, per_address, buckets: Mutex::new(buckets) }
    }

    /// False: not now.
    pub(super) fn take(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.all.refill(self.in_all, now);
        if buckets.all.tokens < 1.0 || !buckets.take_of(address.into(), self.per_address, now) {
            return false;
        }
        buckets.all.tokens -= 1.0;
        true
    }
}

impl Buckets {
    fn take_of(&mut self, origin: Origin, rate: Rate, now: Instant) -> bool {
        if !self.addresses.contains_key(&origin) && self.addresses.len() >= ADDRESSES {
            self.addresses.retain(|_, bucket| {
                bucket.refill(rate, now);
                bucket.tokens < rate.burst
            });
            if self.addresses.len() >= ADDRESSES {
                return false;
            }
        }
        let bucket = self.addresses.entry(origin).or_insert_with(|| Bucket::full(rate, now));
        bucket.refill(rate, now);
        let has_one = bucket.tokens >= 1.0;
        if has_one {
            bucket.tokens -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests;
