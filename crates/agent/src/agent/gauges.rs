//! What this agent holds and what its process takes, as metrics.

use model::Status;

use super::Agent;

/// The only size of a page that Linux uses on the machines we build for.
const PAGE_BYTES: u64 = 4096;

impl Agent {
    /// Sets the gauges to what they are now.
    pub fn measure(&self) {
        let (config, metrics) = (&self.config, &self.config.metrics);
        let gauge = |name: &'static str, value: f64| metrics.gauge(name, Vec::new(), value);
        let (services, checks, passing) = {
            let state = self.state();
            let passing = state.checks.values().filter(|check| check.health.status == Status::Passing).count();
            (state.services.len(), state.checks.len(), passing)
        };
        gauge("agent.checks", checks as f64);
        gauge("agent.checks.passing", passing as f64);
        gauge("agent.services", services as f64);
        let version = vec![("version", config.version.clone().into()), ("pre_release", "".into())];
        metrics.gauge("version", version, 1.0);
        if config.server_port.is_some() {
            gauge("server.isLeader", 1.0);
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            gauge("runtime.num_goroutines", runtime.metrics().num_alive_tasks() as f64);
        }
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let page = |at: usize| pages.split_whitespace().nth(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
        let (resident, shared) = (page(1), page(2));
        gauge("runtime.sys_bytes", (resident * PAGE_BYTES) as f64);
        gauge("runtime.alloc_bytes", (resident.saturating_sub(shared) * PAGE_BYTES) as f64);
    }
}
