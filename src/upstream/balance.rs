//! Which of several servers takes a request.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::policy::application::Balance;

use super::standing::Use;
use super::{Cluster, Server};

impl Cluster {
    /// A server that was not tried yet; one that is up if there is one. `key` says whose request it is, for `sticky`.
    pub(super) fn choose(&self, key: u64, tried: &[Arc<Server>]) -> Option<Arc<Server>> {
        let fresh = |server: &&Arc<Server>| !tried.iter().any(|other| Arc::ptr_eq(server, other));
        if let [only] = self.servers.as_slice() {
            return Some(only).filter(fresh).map(Arc::clone);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut among: Vec<&Arc<Server>> = self.servers.iter().filter(fresh).collect();
        if self.disturbed.load(Ordering::Acquire) {
            let now = self.millis();
            let rank = |server: &Arc<Server>| match server.standing.at(now) {
                Use::Full => 0,
                Use::Returning(share) if is_in_share(turn, share) => 0,
                Use::Returning(_) => 1,
                // With none left that is up, a server that may be back is better than no answer.
                Use::Out => 2,
            };
            let best = among.iter().map(|server| rank(server)).min()?;
            among.retain(|server| rank(server) == best);
        }
        match self.balance {
            Balance::LeastBusy => least_busy(&among, turn),
            Balance::RoundRobin => in_turn(&among, turn),
            Balance::Sticky => rendezvous(&among, key),
        }
        .map(Arc::clone)
    }
}

/// Whether this turn is one of the `share` of a hundred, spread evenly and without a pattern that a balance could share.
const fn is_in_share(turn: usize, share: u64) -> bool {
    // The golden ratio of 2^64: turns that follow each other lie far apart.
    let spread = (turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (spread * 100) >> 32 < share
}

/// The server with the fewest requests for its weight; those that tie take turns.
fn least_busy<'a>(among: &[&'a Arc<Server>], turn: usize) -> Option<&'a Arc<Server>> {
    let start = turn.checked_rem(among.len())?;
    let mut best: Option<(&Arc<Server>, usize)> = None;
    for server in among.iter().cycle().skip(start).take(among.len()) {
        let busy = server.in_flight.load(Ordering::Relaxed).saturating_add(1);
        let less = best.is_none_or(|(other, other_busy)| {
            // busy / weight < other_busy / other weight, without division.
            busy.saturating_mul(other.weight as usize) < other_busy.saturating_mul(server.weight as usize)
        });
        if less {
            best = Some((server, busy));
        }
    }
    best.map(|(server, _)| server)
}

fn in_turn<'a>(among: &[&'a Arc<Server>], turn: usize) -> Option<&'a Arc<Server>> {
    let total: usize = among.iter().map(|server| server.weight as usize).sum();
    let mut left = turn.checked_rem(total)?;
    among
        .iter()
        .find(|server| {
            let weight = server.weight as usize;
            let found = left < weight;
            left = left.saturating_sub(weight);
            found
        })
        .copied()
}

/// The same server for the same key while it is there; when it goes, only its own keys move.
///
/// Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
fn rendezvous<'a>(among: &[&'a Arc<Server>], key: u64) -> Option<&'a Arc<Server>> {
    let score = |server: &Server| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        server.target.hash(&mut hasher);
        #[expect(clippy::cast_precision_loss, reason = "a share of all hashes, near enough")]
        let share = (hasher.finish() as f64 / u64::MAX as f64).clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
        -f64::from(server.weight) / share.ln()
    };
    among.iter().max_by(|one, two| score(one).total_cmp(&score(two))).copied()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::servers;
    use super::*;

    fn index(servers: &[Arc<Server>], one: &Arc<Server>) -> usize {
        servers.iter().position(|server| Arc::ptr_eq(server, one)).unwrap()
    }

    #[test]
    fn turns_are_taken_by_weight() {
        let servers = servers(&[1, 3]);
        let among: Vec<_> = servers.iter().collect();
        let taken: Vec<usize> = (0..8).map(|turn| index(&servers, in_turn(&among, turn).unwrap())).collect();
        assert_eq!(taken, [0, 1, 1, 1, 0, 1, 1, 1]);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_taken() {
        let servers = servers(&[1, 2]);
        let among: Vec<_> = servers.iter().collect();
        servers[0].in_flight.store(1, Ordering::Relaxed);
        servers[1].in_flight.store(2, Ordering::Relaxed);
        assert_eq!(index(&servers, least_busy(&among, 0).unwrap()), 1, "3 of 2 is less than 2 of 1");
        servers[1].in_flight.store(4, Ordering::Relaxed);
        assert_eq!(index(&servers, least_busy(&among, 0).unwrap()), 0);
    }

    #[test]
    fn a_key_stays_with_its_server_and_moves_only_when_that_goes() {
        let servers = servers(&[1, 1, 1]);
        let all: Vec<_> = servers.iter().collect();
        let mut counts = [0; 3];
        for key in 0..300 {
            let home = index(&servers, rendezvous(&all, key).unwrap());
            counts[home] += 1;
            let without: Vec<_> = servers
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != (home + 1) % 3)
                .map(|(_, server)| server)
                .collect();
            assert_eq!(index(&servers, rendezvous(&without, key).unwrap()), home, "{key}");
        }
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    }
}
