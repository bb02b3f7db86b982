//! Which instance of a target takes the request, by the target's policy. By default the less busy of two picked at
//! random, by weight.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use plan::Balance;

use crate::connect::Host;
use crate::hashing::{Maglev, Ring};

/// The healthy hosts of a target. Unhealthy ones are not here, so they cannot be picked.
pub(crate) struct Balancer {
    hosts: Vec<Rc<Host>>,
    /// Running sums of the weights; empty when all are equal.
    sums: Vec<u64>,
    policy: Policy,
}

enum Policy {
    LeastRequest,
    Random,
    /// Each host's credit: the one with most has its turn and pays for it (smooth weighted round robin).
    RoundRobin(RefCell<Vec<i64>>),
    Ring(Ring),
    Maglev(Maglev),
}

impl Policy {
    fn new(balance: &Balance, hosts: &[Rc<Host>]) -> Self {
        let named = || hosts.iter().map(|host| (host.endpoint.address.as_str(), host.weight())).collect::<Vec<_>>();
        match balance {
            Balance::LeastRequest => Self::LeastRequest,
            Balance::Random => Self::Random,
            Balance::RoundRobin => {
                let mut credits = vec![0; hosts.len()];
                // Not all sidecars of a service start with the same host.
                fastrand::choice(&mut credits).into_iter().for_each(|first| *first = 1);
                Self::RoundRobin(RefCell::new(credits))
            }
            Balance::RingHash { minimum_ring_size, maximum_ring_size } => {
                Self::Ring(Ring::new(&named(), *minimum_ring_size, *maximum_ring_size))
            }
            Balance::Maglev => Self::Maglev(Maglev::new(&named())),
        }
    }
}

impl Balancer {
    pub fn new(hosts: Vec<Rc<Host>>, balance: &Balance) -> Self {
        let equal = hosts.windows(2).all(|pair| pair[0].weight() == pair[1].weight());
        let add = |sum: &mut u64, host: &Rc<Host>| {
            *sum += u64::from(host.weight());
            Some(*sum)
        };
        let sums = if equal { Vec::new() } else { hosts.iter().scan(0, add).collect() };
        let policy = Policy::new(balance, &hosts);
        Self { hosts, sums, policy }
    }

    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// True when an instance is there that is not left out for its conduct.
    pub fn has_good(&self) -> bool {
        self.hosts.iter().any(|host| !host.is_out())
    }

    /// How many are left out for their conduct now.
    pub fn out(&self) -> usize {
        self.hosts.iter().filter(|host| host.is_out()).count()
    }

    /// `key`: the request's hash, for policies that go by it. `not`: a host already tried, picked again only when there
    /// is no other. Hosts that are left out are picked only when all are: answers that may be bad are better than none.
    pub fn pick(&self, key: Option<u64>, not: Option<&Rc<Host>>) -> Option<&Rc<Host>> {
        let other = |host: &&Rc<Host>| not.is_none_or(|tried| !Rc::ptr_eq(tried, host));
        let good = |host: &&Rc<Host>| other(host) && !host.is_out();
        if let [] | [_] = self.hosts.as_slice() {
            return self.hosts.first();
        }
        let picked = match &self.policy {
            Policy::LeastRequest => self.less_busy_of_two(good),
            Policy::Random => Some(&self.hosts[self.random()]).filter(good),
            Policy::RoundRobin(credits) => self.next_in_turn(&mut credits.borrow_mut(), good),
            Policy::Ring(ring) => self.walk(ring.walk(key.unwrap_or_else(|| fastrand::u64(..))), good),
            Policy::Maglev(table) => self.walk(table.walk(key.unwrap_or_else(|| fastrand::u64(..))), good),
        };
        let least_busy = |wanted: &dyn Fn(&&Rc<Host>) -> bool| {
            self.hosts.iter().filter(|host| wanted(host)).min_by_key(|host| host.active())
        };
        picked.or_else(|| least_busy(&good)).or_else(|| least_busy(&other)).or(self.hosts.first())
    }

    fn less_busy_of_two(&self, good: impl Fn(&&Rc<Host>) -> bool) -> Option<&Rc<Host>> {
        let (first, second) = (&self.hosts[self.random()], &self.hosts[self.random()]);
        match (good(&first), good(&second)) {
            (true, true) => Some(less_busy(first, second)),
            (true, false) => Some(first),
            (false, true) => Some(second),
            (false, false) => None,
        }
    }

    fn next_in_turn(&self, credits: &mut [i64], good: impl Fn(&&Rc<Host>) -> bool) -> Option<&Rc<Host>> {
        let weight = |host: &Rc<Host>| i64::from(host.weight());
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, host) in self.hosts.iter().enumerate().filter(|(_, host)| good(host)) {
            total += weight(host);
            credits[index] += weight(host);
            if best.is_none_or(|best| credits[index] > credits[best]) {
                best = Some(index);
            }
        }
        let best = best?;
        credits[best] -= total;
        Some(&self.hosts[best])
    }

    /// As many steps as there are hosts: a table that leads to hosts left out again and again is given up.
    fn walk(&self, walk: impl Iterator<Item = usize>, good: impl Fn(&&Rc<Host>) -> bool) -> Option<&Rc<Host>> {
        walk.take(self.hosts.len().max(64)).filter_map(|index| self.hosts.get(index)).find(good)
    }

    fn random(&self) -> usize {
        match self.sums.last() {
            None => fastrand::usize(..self.hosts.len()),
            Some(&total) => {
                let point = fastrand::u64(..total);
                self.sums.partition_point(|&sum| sum <= point)
            }
        }
    }
}

fn less_busy<'a>(a: &'a Rc<Host>, b: &'a Rc<Host>) -> &'a Rc<Host> {
    if b.active() < a.active() { b } else { a }
}

/// Holds one place in a count for as long as it lives.
pub(crate) struct Place(Rc<Cell<u32>>);

impl Place {
    pub fn take(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// An index by weight: where a route splits its traffic.
pub(crate) fn by_weight(weights: impl Iterator<Item = u32> + Clone) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    if total == 0 {
        return None;
    }
    let mut point = fastrand::u64(..total);
    weights.map(u64::from).position(|weight| {
        let here = point < weight;
        point = point.saturating_sub(weight);
        here
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_split_and_zero_takes_nothing() {
        let mut hits = [0; 3];
        for _ in 0..4000 {
            hits[by_weight([3, 0, 1].into_iter()).unwrap_or(1)] += 1;
        }
        assert_eq!(hits[1], 0);
        assert!((2600..3400).contains(&hits[0]), "{hits:?}");
        assert_eq!(by_weight([0, 0].into_iter()), None);
    }

    #[test]
    fn a_place_is_given_back() {
        let count = Rc::new(Cell::new(0));
        let place = Place::take(&count);
        assert_eq!(count.get(), 1);
        drop(place);
        assert_eq!(count.get(), 0);
    }
}
