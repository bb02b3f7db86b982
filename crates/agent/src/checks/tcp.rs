//! Can a connection be opened?

use std::time::Duration;

use model::Status;

pub(super) async fn probe(address: &str, limit: Duration) -> (Status, String) {
    match super::dial(address, limit).await {
        Ok(_) => (Status::Passing, format!("TCP connect {address}: Success")),
        Err(why) => (Status::Critical, why),
    }
}
