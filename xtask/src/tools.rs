//! The outside parts that tests use: from Debian (installed when root), PyPI and Debian's archive, into `target/tools`.

use std::path::PathBuf;

use crate::run::{self, Outcome, in_ci, target};

/// Debian packages and the program that shows that one is there.
const DEBIAN: &[(&str, &str)] = &[
    ("bind9-dnsutils", "dig"),
    ("chromium", "chromium"),
    ("chromium-driver", "chromedriver"),
    ("curl", "curl"),
    ("etcd-client", "etcdctl"),
    ("etcd-server", "etcd"),
    ("openssl", "openssl"),
    ("nghttp2-client", "h2load"),
    ("nodejs", "node"),
    ("npm", "npm"),
    ("python3-venv", "python3"),
    ("wrk", "wrk"),
];

/// PyPI packages of the judges, with the versions they were proven with.
const PYPI: &[&str] = &[
    "dnspython",
    "grpcio",
    "grpcio-health-checking",
    "protobuf",
    "prometheus_client",
    "websockets",
    "netuitive-statsd",
    "statsdmetrics",
    "py-consul==1.6.0",
];

/// The older of two PyPI packages with the same module name, and where it is kept apart.
const PYTHON_CONSUL: &str = "python-consul==1.1.0";

/// npm packages of the judges: the present client of Consul, and the last one that had locks.
const NPM: &[&str] = &["consul@2.0.1", "consul-with-locks@npm:consul@0.40.0"];

pub fn folder() -> PathBuf {
    target().join("tools")
}

/// The interpreter of the judges' own environment.
pub fn python() -> PathBuf {
    folder().join("venv/bin/python")
}

/// Fetches what is missing. A part that cannot be had is said loudly, and in CI it is a failure.
pub fn fetch() -> Outcome {
    std::fs::create_dir_all(folder()).map_err(|error| format!("{}: {error}", folder().display()))?;
    let mut missing = Vec::new();
    for (what, result) in [
        ("Debian packages", debian()),
        ("Python packages", pypi()),
        ("npm packages", npm()),
        ("programs of other Debian releases", unpacked()),
    ] {
        if let Err(problem) = result {
            eprintln!("\n*** MISSING: {what}: {problem}\n");
            missing.push(what);
        }
    }
    match (missing.is_empty(), in_ci()) {
        (true, _) | (false, false) => Ok(()),
        (false, true) => Err(format!("missing in CI: {}", missing.join(", "))),
    }
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn debian() -> Outcome {
    let wanted: Vec<&str> = DEBIAN.iter().filter(|(_, program)| !found(program)).map(|(package, _)| *package).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    if run::output("id", &["-u"])?.trim() != "0" {
        return Err(format!("not root; install them: apt-get install {}", wanted.join(" ")));
    }
    run::run("apt-get", &["-qq", "update"])?;
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    let args: Vec<&str> = ["-qq", "-y", "--no-install-recommends", "install"].into_iter().chain(wanted).collect();
    run::run_with("apt-get", &args, &quiet)
}

fn pypi() -> Outcome {
    let venv = folder().join("venv");
    if !python().exists() {
        run::run("python3", &["-m", "venv", &venv.display().to_string()])?;
    }
    let stamp = folder().join("venv.packages");
    let wanted = format!("{}\n{PYTHON_CONSUL}", PYPI.join("\n"));
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    let args: Vec<&str> = ["-m", "pip", "install", "--quiet"].into_iter().chain(PYPI.iter().copied()).collect();
    let python = python().display().to_string();
    run::run(&python, &args)?;
    let apart = folder().join("python-consul").display().to_string();
    run::run(&python, &["-m", "pip", "install", "--quiet", "--upgrade", "--target", &apart, PYTHON_CONSUL])?;
    std::fs::write(&stamp, wanted).map_err(|error| error.to_string())
}

fn npm() -> Outcome {
    let into = folder().join("npm");
    let stamp = into.join("packages");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == NPM.join("\n")) {
        return Ok(());
    }
    std::fs::create_dir_all(&into).map_err(|error| format!("{}: {error}", into.display()))?;
    let prefix = into.display().to_string();
    let quiet = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", &prefix];
    let args: Vec<&str> = quiet.into_iter().chain(NPM.iter().copied()).collect();
    run::run("npm", &args)?;
    std::fs::write(&stamp, NPM.join("\n")).map_err(|error| error.to_string())
}

/// Programs unpacked, not installed, from another Debian release: name, release, package, the program inside.
const UNPACKED: &[(&str, &str, &str, &str)] = &[
    // The last Consul that Debian packaged: the judge of our API is its own client.
    ("consul", "bullseye", "consul", "usr/bin/consul"),
    // Debian builds Prometheus without parts of its service discovery: this one has Consul's, the next Kubernetes'.
    ("prometheus-consul", "bullseye", "prometheus", "usr/bin/prometheus"),
    ("prometheus-kubernetes", "trixie", "prometheus", "usr/bin/prometheus"),
];

fn unpacked() -> Outcome {
    let script = run::root().join("xtask/fetch-debian.sh").display().to_string();
    for (name, release, package, program) in UNPACKED {
        let into = folder().join(name);
        if !into.join(program).exists() {
            run::run("bash", &[&script, release, package, &into.display().to_string()])?;
        }
    }
    Ok(())
}
