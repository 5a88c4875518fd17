//! How many connections there are, in all and from one address, so that one client cannot keep out the others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

const MAX_TOTAL: usize = 1024;
/// Several kube-apiservers may come from one address (a tunnel or a NAT), each with a handful of connections.
const MAX_PER_ADDRESS: usize = 128;

#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place; free again when dropped.
pub(super) struct Permit {
    connections: Connections,
    address: IpAddr,
}

impl Connections {
    pub(super) fn admit(&self, address: IpAddr) -> Option<Permit> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = counts.values().sum();
        let here = counts.get(&address).copied().unwrap_or_default();
        if total >= MAX_TOTAL || here >= MAX_PER_ADDRESS {
            return None;
        }
        counts.insert(address, here + 1);
        Some(Permit { connections: self.clone(), address })
    }
}

impl Permit {
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place() {
        let connections = Connections::default();
        let noisy = IpAddr::from([10, 0, 0, 1]);
        let mut permits: Vec<_> = std::iter::from_fn(|| connections.admit(noisy)).collect();
        assert_eq!(permits.len(), MAX_PER_ADDRESS);
        assert!(connections.admit(IpAddr::from([10, 0, 0, 2])).is_some());
        permits.pop();
        assert!(connections.admit(noisy).is_some());
    }

    #[test]
    fn total_is_bounded() {
        let connections = Connections::default();
        let permits: Vec<_> = (0..=255u8)
            .flat_map(|host| (0..8).map(move |_| IpAddr::from([10, 0, 0, host])))
            .filter_map(|address| connections.admit(address))
            .collect();
        assert_eq!(permits.len(), MAX_TOTAL);
    }
}
