//! The machine this agent runs on, as the kernel describes it.

use std::path::Path;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::AgentState;
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::response::json;

/// Fields of `/proc/meminfo` and the names they are known by.
const MEMORY: [(&str, &str); 14] = [
    ("total", "MemTotal"),
    ("available", "MemAvailable"),
    ("free", "MemFree"),
    ("active", "Active"),
    ("inactive", "Inactive"),
    ("buffers", "Buffers"),
    ("cached", "Cached"),
    ("dirty", "Dirty"),
    ("shared", "Shmem"),
    ("slab", "Slab"),
    ("swaptotal", "SwapTotal"),
    ("swapfree", "SwapFree"),
    ("mapped", "Mapped"),
    ("pagetables", "PageTables"),
];

pub(super) async fn host(State(state): State<AgentState>, _: QueryOptions) -> Result<Response, Error> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let folder = state.agent.config().data_dir.clone();
    json(&json!({
        "Memory": memory(&read("/proc/meminfo")),
        "CPU": processors(&read("/proc/cpuinfo")),
        "Host": machine(&state, now.as_secs()),
        "Disk": disk(folder.as_deref().unwrap_or(Path::new("/"))),
        "CollectionTime": now.as_nanos() as u64,
        "Errors": Value::Null,
    }))
}

/// Empty where there is no `/proc`.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn memory(text: &str) -> Value {
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
        number.unwrap_or_default() * 1024
    };
    let mut out: Map<String, Value> =
        MEMORY.iter().map(|(name, key)| ((*name).to_owned(), bytes(key).into())).collect();
    let free = bytes("MemFree") + bytes("Buffers") + bytes("Cached");
    let used = bytes("MemTotal").saturating_sub(free);
    out.insert("used".to_owned(), used.into());
    out.insert("usedPercent".to_owned(), percent(used, bytes("MemTotal")).into());
    Value::Object(out)
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

/// One paragraph of `/proc/cpuinfo` a processor.
fn processors(text: &str) -> Vec<Value> {
    text.split("\n\n").filter(|part| part.contains("processor")).map(processor).collect()
}

fn processor(paragraph: &str) -> Value {
    let field = |key: &str| {
        let pairs = paragraph.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == key).map_or("", |pair| pair.1)
    };
    let number = |key: &str| field(key).parse::<i64>().unwrap_or_default();
    json!({
        "cpu": number("processor"),
        "vendorId": field("vendor_id"),
        "family": field("cpu family"),
        "model": field("model"),
        "stepping": number("stepping"),
        "physicalId": field("physical id"),
        "coreId": field("core id"),
        "cores": 1,
        "modelName": field("model name"),
        "mhz": field("cpu MHz").parse::<f64>().unwrap_or_default(),
        "cacheSize": field("cache size").trim_end_matches(" KB").parse::<i64>().unwrap_or_default(),
        "flags": field("flags").split_whitespace().collect::<Vec<_>>(),
        "microcode": field("microcode"),
    })
}

fn machine(state: &AgentState, now: u64) -> Value {
    let release = read("/etc/os-release");
    let release = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let uptime = read("/proc/uptime").split(['.', ' ']).next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
    let processes = std::fs::read_dir("/proc").map_or(0, |entries| {
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        entries.filter_map(name).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).count()
    });
    let node = &state.agent.config().node;
    json!({
        "hostname": or(read("/proc/sys/kernel/hostname").trim(), &node.node),
        "uptime": uptime,
        "bootTime": now.saturating_sub(uptime),
        "procs": processes,
        "os": std::env::consts::OS,
        "platform": release("ID"),
        "platformFamily": or(&release("ID_LIKE"), &release("ID")),
        "platformVersion": release("VERSION_ID"),
        "kernelVersion": read("/proc/sys/kernel/osrelease").trim(),
        "kernelArch": std::env::consts::ARCH,
        "virtualizationSystem": "",
        "virtualizationRole": "",
        "hostid": node.id,
    })
}

fn or<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

/// `null` where the kernel does not say.
fn disk(path: &Path) -> Value {
    let Ok(stat) = rustix::fs::statvfs(path) else { return Value::Null };
    let bytes = |blocks: u64| blocks * stat.f_frsize;
    let (total, free, available) = (bytes(stat.f_blocks), bytes(stat.f_bfree), bytes(stat.f_bavail));
    let used = total.saturating_sub(free);
    let inodes_used = stat.f_files.saturating_sub(stat.f_ffree);
    json!({
        "path": path.display().to_string(),
        "fstype": "",
        "total": total,
        "free": available,
        "used": used,
        "usedPercent": percent(used, used + available),
        "inodesTotal": stat.f_files,
        "inodesUsed": inodes_used,
        "inodesFree": stat.f_ffree,
        "inodesUsedPercent": percent(inodes_used, stat.f_files),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let memory = memory("MemTotal:       1000 kB\nMemFree:         200 kB\nBuffers: 100 kB\nCached: 200 kB\n");
        assert_eq!((&memory["total"], &memory["used"]), (&json!(1_024_000), &json!(512_000)));
        assert_eq!(memory["usedPercent"], 50.0);
        let cpus = processors(
            "processor\t: 0\nvendor_id\t: V\nmodel name\t: M\ncpu MHz\t\t: 2300.5\nflags\t\t: a b\n\n\
             processor\t: 1\nmodel\t\t: 7\n\n",
        );
        assert_eq!(cpus.len(), 2);
        let first = &cpus[0];
        assert_eq!(
            (&first["modelName"], &first["mhz"], &first["flags"]),
            (&json!("M"), &json!(2300.5), &json!(["a", "b"]))
        );
        assert_eq!((&cpus[1]["cpu"], &cpus[1]["model"]), (&json!(1), &json!("7")));
        assert!(processors("").is_empty());
    }
}
