//! Which addresses may be called. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::{Error, ErrorKind};

/// Addresses of the public internet may be called, those of `allowed` too, those of `denied` never.
///
/// What is not public is refused by default: loopback, link-local (metadata of clouds), private ranges (where clusters have their
/// pods and Services) and all that is reserved. An IPv6 address that carries an IPv4 address is judged by that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Ranges that may be called although they are not public.
    pub allowed: Vec<IpNet>,
    /// Ranges that are never called, whatever `allowed` says.
    pub denied: Vec<IpNet>,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// This machine.
    Loopback,
    /// Neighbours on the wire, and the metadata services of clouds.
    LinkLocal,
    /// Private networks: pods and Services are there.
    Private,
    /// Many receivers at once.
    Multicast,
    /// Reserved, unspecified or for documentation.
    Reserved,
    /// The installation denies it.
    Denied,
}

impl Range {
    /// For messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Denied => "denied",
        }
    }
}

impl AddressPolicy {
    /// Why the address may not be called; `None`: it may.
    #[must_use]
    pub fn refusal(&self, address: IpAddr) -> Option<Range> {
        let address = carried_address(address);
        let is_in = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
        if is_in(&self.denied) {
            return Some(Range::Denied);
        }
        if is_in(&self.allowed) {
            return None;
        }
        match address {
            IpAddr::V4(address) => refusal_v4(address),
            IpAddr::V6(address) => refusal_v6(address),
        }
    }

    /// All addresses of a host may be called, or none is: a name that also leads elsewhere is not to be trusted.
    ///
    /// # Errors
    /// [`ErrorKind::AddressRefused`], with the range and not the address: who names a host need not learn where it is.
    pub fn check(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Error> {
        match addresses.iter().find_map(|address| self.refusal(*address)) {
            None => Ok(()),
            Some(range) => Err(Error::new(
                ErrorKind::AddressRefused,
                format!(
                    "host {host} is at a {} address, which this installation does not call; use a public host, or have a cluster admin add its network to global.git.allowedNetworks",
                    range.as_str()
                ),
            )),
        }
    }
}

/// The IPv4 address inside: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn carried_address(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let octets = v6.octets();
    let carried = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            [octets[12], octets[13], octets[14], octets[15]]
        }
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) != (0, 0) && (high, low) != (0, 1) => {
            [octets[12], octets[13], octets[14], octets[15]]
        }
        [0x2002, ..] => [octets[2], octets[3], octets[4], octets[5]],
        _ => return address,
    };
    IpAddr::V4(Ipv4Addr::from(carried))
}

/// Ranges of the IANA IPv4 special-purpose registry.
fn refusal_v4(address: Ipv4Addr) -> Option<Range> {
    match address.octets() {
        [127, ..] => Some(Range::Loopback),
        [169, 254, ..] => Some(Range::LinkLocal),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Some(Range::Private),
        [224..=239, ..] => Some(Range::Multicast),
        [0 | 240..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Some(Range::Reserved),
        _ => None,
    }
}

/// Only global unicast, 2000::/3, is public; and not what the IANA registry takes out of it.
fn refusal_v6(address: Ipv6Addr) -> Option<Range> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Range::Loopback),
        [0xfe80..=0xfebf, ..] => Some(Range::LinkLocal),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some(Range::Private),
        [0xff00..=0xffff, ..] => Some(Range::Multicast),
        // 2001::/23 has Teredo and others that carry addresses; 2001:db8::/32 and 3fff::/20 are for documentation.
        [0x2001, 0x0000..=0x01ff | 0x0db8, ..] | [0x3fff, 0x0000..=0x0fff, ..] => Some(Range::Reserved),
        [0x2000..=0x3fff, ..] => None,
        _ => Some(Range::Reserved),
    }
}

#[cfg(test)]
mod tests;
