//! A sidecar from a plan file: `sidecar plan.json [workers]`. Ends with SIGTERM or Ctrl-C, after a drain.

use proxy::{Config, Sidecar};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: sidecar plan.json [workers]")?;
    let workers = arguments.next().map_or(Ok(1), |n| n.parse())?;
    let sidecar = Sidecar::start(Config { workers, ..Config::file(path.into()) })?;
    sidecar.ready().await;
    for ((direction, name), address) in sidecar.addresses() {
        println!("{direction:?} {name} {address}");
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sidecar.drain().await;
    Ok(())
}
