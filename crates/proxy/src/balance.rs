//! Which instance of a target takes the request: the less busy of two picked at random, by weight.

use std::cell::Cell;
use std::rc::Rc;

use crate::connect::Host;

/// The healthy hosts of a target. Unhealthy ones are not here, so they cannot be picked.
pub(crate) struct Balancer {
    hosts: Vec<Rc<Host>>,
    /// Running sums of the weights; empty when all are equal.
    sums: Vec<u64>,
}

impl Balancer {
    pub fn new(hosts: Vec<Rc<Host>>) -> Self {
        let equal = hosts.windows(2).all(|pair| pair[0].weight() == pair[1].weight());
        let add = |sum: &mut u64, host: &Rc<Host>| {
            *sum += u64::from(host.weight());
            Some(*sum)
        };
        let sums = if equal { Vec::new() } else { hosts.iter().scan(0, add).collect() };
        Self { hosts, sums }
    }

    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// `not`: hosts already tried; picked again only when there is no other.
    pub fn pick(&self, not: Option<&Rc<Host>>) -> Option<&Rc<Host>> {
        let others = |host: &&Rc<Host>| not.is_none_or(|tried| !Rc::ptr_eq(tried, host));
        match self.hosts.as_slice() {
            [] => None,
            [only] => Some(only),
            hosts => {
                let first = &hosts[self.random()];
                let second = &hosts[self.random()];
                match (others(&first), others(&second)) {
                    (true, true) => Some(less_busy(first, second)),
                    (true, false) => Some(first),
                    (false, true) => Some(second),
                    (false, false) => hosts.iter().filter(others).min_by_key(|host| host.active()).or(Some(first)),
                }
            }
        }
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
