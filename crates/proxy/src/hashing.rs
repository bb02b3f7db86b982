//! Balancing by hash: the same key goes to the same instance, from every sidecar, and few keys move when instances come
//! and go. Both tables are made of the instances' addresses alone.

/// Envoy's default, and its limit, for rings.
const RING_SIZE: u64 = 1024;
const LARGEST_RING: u64 = 8 << 20;
/// A prime, and Envoy's default.
const MAGLEV_SIZE: usize = 65_537;

/// FNV-1a, stirred: neighbours in text must not be neighbours on a ring.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// Points on a circle; a key belongs to the next one.
pub(crate) struct Ring(Vec<(u64, u32)>);

impl Ring {
    /// `hosts`: address and weight. Zero sizes are the defaults.
    pub fn new(hosts: &[(&str, u32)], minimum: u64, maximum: u64) -> Self {
        let total: u64 = hosts.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let maximum = if maximum == 0 { LARGEST_RING } else { maximum.min(LARGEST_RING) };
        let size = if minimum == 0 { RING_SIZE } else { minimum }.min(maximum).max(hosts.len() as u64);
        let mut points = Vec::new();
        for (index, (address, weight)) in hosts.iter().enumerate() {
            let share = (size * u64::from(*weight)).div_ceil(total.max(1)).max(1);
            points.extend((0..share).map(|n| (hash(format!("{address}_{n}").as_bytes()), index as u32)));
        }
        points.sort_unstable();
        Self(points)
    }

    /// The hosts in the order in which they would take the key, some of them several times.
    pub fn walk(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = self.0.partition_point(|(point, _)| *point < key);
        self.0[start..].iter().chain(&self.0[..start]).map(|(_, host)| *host as usize)
    }
}

/// A table in which every host has its share of the slots.
pub(crate) struct Maglev(Vec<u32>);

impl Maglev {
    pub fn new(hosts: &[(&str, u32)]) -> Self {
        const FREE: u32 = u32::MAX;
        let heaviest = f64::from(hosts.iter().map(|(_, weight)| *weight).max().unwrap_or(1).max(1));
        let mut table = vec![FREE; if hosts.is_empty() { 0 } else { MAGLEV_SIZE }];
        // Where each host looks next, how far it steps, and how many turns it has had and may have.
        let mut seekers: Vec<(usize, usize, f64)> = hosts
            .iter()
            .map(|(address, _)| {
                let offset = hash(address.as_bytes()) as usize % MAGLEV_SIZE;
                let step = hash(format!("{address}#").as_bytes()) as usize % (MAGLEV_SIZE - 1) + 1;
                (offset, step, 0.0)
            })
            .collect();
        let mut filled = 0;
        while filled < table.len() {
            for (index, (seeker, (_, weight))) in seekers.iter_mut().zip(hosts).enumerate() {
                seeker.2 += f64::from((*weight).max(1)) / heaviest;
                if seeker.2 < 1.0 {
                    continue;
                }
                seeker.2 -= 1.0;
                while table[seeker.0] != FREE {
                    seeker.0 = (seeker.0 + seeker.1) % MAGLEV_SIZE;
                }
                table[seeker.0] = index as u32;
                filled += 1;
                if filled == table.len() {
                    break;
                }
            }
        }
        Self(table)
    }

    pub fn walk(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = (key % MAGLEV_SIZE as u64) as usize;
        let slots = self.0.len();
        (0..slots).map(move |n| self.0[(start + n) % slots] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"];

    fn spread(first: impl Fn(u64) -> usize) -> [usize; 5] {
        let mut hits = [0; 5];
        (0..20_000_u64).for_each(|n| hits[first(hash(&n.to_le_bytes()))] += 1);
        hits
    }

    #[test]
    fn shares_follow_the_weights_and_few_keys_move() {
        let weighted: Vec<_> = NAMES.iter().map(|name| (*name, if *name == NAMES[0] { 4 } else { 1 })).collect();
        let fewer = &weighted[..4];
        let (ring, less) = (Ring::new(&weighted, 0, 0), Ring::new(fewer, 0, 0));
        let (maglev, less_maglev) = (Maglev::new(&weighted), Maglev::new(fewer));
        let of = |walk: Option<usize>| walk.unwrap_or(usize::MAX);
        for (hits, slack) in
            [(spread(|key| of(ring.walk(key).next())), 800), (spread(|key| of(maglev.walk(key).next())), 400)]
        {
            assert!(hits[0].abs_diff(10_000) < 2 * slack, "{hits:?}");
            assert!(hits[1..].iter().all(|n| n.abs_diff(2_500) < slack), "{hits:?}");
        }
        let moved = |now: &dyn Fn(u64) -> usize, then: &dyn Fn(u64) -> usize| {
            (0..20_000_u64)
                .map(|n| hash(&n.to_le_bytes()))
                .filter(|key| now(*key) != 4 && now(*key) != then(*key))
                .count()
        };
        // Of the keys whose host stayed, next to none changed it (with a ring: those of changed shares).
        let ring_moved = moved(&|key| of(ring.walk(key).next()), &|key| of(less.walk(key).next()));
        let maglev_moved = moved(&|key| of(maglev.walk(key).next()), &|key| of(less_maglev.walk(key).next()));
        assert!(ring_moved < 2_000 && maglev_moved < 2_000, "{ring_moved} {maglev_moved}");
    }

    #[test]
    fn a_walk_meets_every_host() {
        let hosts: Vec<_> = NAMES.iter().map(|name| (*name, 1)).collect();
        for seen in [
            Ring::new(&hosts, 0, 0).walk(7).collect::<std::collections::BTreeSet<_>>(),
            Maglev::new(&hosts).walk(7).collect(),
        ] {
            assert_eq!(seen.len(), 5);
        }
        assert_eq!(Ring::new(&[], 0, 0).walk(1).count() + Maglev::new(&[]).walk(1).count(), 0);
    }
}
