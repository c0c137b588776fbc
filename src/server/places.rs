//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Limits;

/// Connections from each address and in all, over all threads.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    of_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place among those allowed.
pub(super) struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Places {
    /// A place for a connection, if there is one.
    pub(super) fn take(self: &Arc<Self>, limits: &Limits) -> Option<Place> {
        // Made first: dropped, it gives back what was taken.
        let place = Place {
            places: Arc::clone(self),
            address: None,
        };
        (self.taken.fetch_add(1, Ordering::Relaxed) < limits.connections).then_some(place)
    }
}

impl Place {
    /// Counts the connection for the address it came from; `false` if that has too many.
    pub(super) fn come_from(&mut self, address: IpAddr, limits: &Limits) -> bool {
        let address = network(address);
        let mut of_address = self.places.of_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of_address.entry(address).or_default();
        if *count >= limits.connections_per_address {
            return false;
        }
        *count += 1;
        self.address = Some(address);
        true
    }
}

/// Who has one IPv6 address has at least the 64 bits below its network (RFC 4291 section 2.5.1), and could come from each of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut of_address = self.places.of_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = of_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    of_address.remove(&address);
                }
            }
        }
    }
}
