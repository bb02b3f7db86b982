//! Network coordinates (Vivaldi): round-trip times between nodes, estimated from positions instead of measured pair
//! by pair.

use serde::{Deserialize, Serialize};

/// The dimensions of Consul's coordinate space.
pub const DIMENSIONS: usize = 8;

/// Where a node stands in the network. All numbers are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Coordinate {
    pub vec: Vec<f64>,
    /// How sure the node is of its place: 1.5 to begin with.
    pub error: f64,
    /// What the model gets wrong for this node, learnt from what it saw.
    pub adjustment: f64,
    /// The part of every round trip that is the node's own access link.
    pub height: f64,
}

impl Default for Coordinate {
    fn default() -> Self {
        Self { vec: vec![0.0; DIMENSIONS], error: 1.5, adjustment: 0.0, height: 1e-5 }
    }
}

impl Coordinate {
    /// True when it can be compared with others: every number finite, the right number of them.
    pub fn is_valid(&self) -> bool {
        let finite = |number: &f64| number.is_finite();
        self.vec.len() == DIMENSIONS && self.vec.iter().chain([&self.error, &self.adjustment, &self.height]).all(finite)
    }

    /// The estimated round-trip time to `other`, in seconds.
    pub fn distance_to(&self, other: &Self) -> f64 {
        let squares = self.vec.iter().zip(&other.vec).map(|(a, b)| (a - b) * (a - b));
        let plain = squares.sum::<f64>().sqrt() + self.height + other.height;
        let adjusted = plain + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { plain }
    }
}

/// A node's coordinate; a node has one in each segment it is in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeCoordinate {
    pub node: String,
    pub segment: String,
    pub coordinate: Coordinate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_heights_and_adjustments_unless_they_turn_negative() {
        let at = |x: f64, adjustment: f64| Coordinate {
            vec: [x, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0].to_vec(),
            adjustment,
            height: 0.001,
            ..Coordinate::default()
        };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(at(0.0, 0.0).distance_to(&at(0.010, 0.0)), 0.012));
        assert!(near(at(0.0, 0.002).distance_to(&at(0.010, -0.001)), 0.013));
        assert!(near(at(0.0, -1.0).distance_to(&at(0.010, 0.0)), 0.012));
        assert!(!Coordinate { vec: vec![0.0], ..Coordinate::default() }.is_valid());
        assert!(!Coordinate { error: f64::NAN, ..Coordinate::default() }.is_valid());
    }
}
