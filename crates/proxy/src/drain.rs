//! Stopping without losing a request.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::accept::Listener;
use crate::sidecar::Phase;

/// How often a draining worker looks whether it is done. It stops within this long of its last connection.
const LOOK: Duration = Duration::from_millis(10);

/// Stops accepting, tells callers to go elsewhere (`Connection: close`, GOAWAY), and waits for what is in flight.
pub(crate) async fn drain(listeners: &[Rc<Listener>], limit: Duration, phase: &mut watch::Receiver<Phase>) {
    let deadline = Instant::now() + limit;
    listeners.iter().for_each(|listener| listener.close());
    let open = || listeners.iter().map(|listener| listener.open()).sum::<u32>();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            stopped = phase.wait_for(|phase| *phase >= Phase::Stopped) => {
                drop(stopped);
                return;
            }
        }
        if open() == 0 {
            return;
        }
        if Instant::now() >= deadline {
            tracing::warn!("draining: {} connections were still open after {limit:?}", open());
            return;
        }
    }
}
