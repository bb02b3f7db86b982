//! Gives memory back while a sidecar has nothing to do.
//!
//! Starting up touches most of the program once: decoding, certificates, the command line. Those pages stay mapped,
//! and a machine with hundreds of sidecars shows each of them as that much larger. A quiet sidecar unmaps the pages
//! of its own executable; the few that are needed come back from the page cache one fault at a time.
//!
//! This is the one module of the workspace with `unsafe` in it; the proof stands at [`unmap`].
#![allow(unsafe_code)]

use std::time::Duration;

/// How often the process looks at itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// CPU time, in clock ticks of 10 ms, that a quiet second may use: the report to the agent, not traffic.
const QUIET_TICKS: u64 = 2;
/// Less resident program than this is not worth the faults.
const WORTH_KIB: u64 = 5 * 1024;
/// What comes back although nothing happens is in use; it is asked for ever less often.
const LONGEST_PAUSE: u32 = 300;

/// Runs until dropped.
pub async fn give_back_when_quiet() {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut used_before, mut pause, mut since) = (None, 1_u32, 0_u32);
    loop {
        ticks.tick().await;
        let used = stat("/proc/self/stat").as_deref().and_then(cpu_ticks);
        let quiet = used.zip(used_before).is_some_and(|(now, before)| now.saturating_sub(before) <= QUIET_TICKS);
        used_before = used;
        since = since.saturating_add(1);
        let large = stat("/proc/self/status").as_deref().and_then(file_kib).is_some_and(|kib| kib > WORTH_KIB);
        if quiet && large && since > pause {
            give_back();
            pause = (pause * 2).min(LONGEST_PAUSE);
            since = 0;
        }
    }
}

fn give_back() {
    let Ok(program) = std::fs::read_link("/proc/self/exe") else { return };
    let Some(smaps) = stat("/proc/self/smaps") else { return };
    for mapping in untouched(&smaps, &program.to_string_lossy()) {
        unmap(&mapping);
    }
}

/// Nothing under `/proc` is a must: without it memory stays as it is.
fn stat(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// User and system time of `/proc/self/stat`. The second field is a name in parentheses that may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

/// Resident pages that belong to files.
fn file_kib(status: &str) -> Option<u64> {
    kib(status.lines().find_map(|line| line.strip_prefix("RssFile:"))?)
}

fn kib(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A part of the address space that is, byte by byte, what the executable says.
#[derive(Debug, PartialEq, Eq)]
struct Untouched {
    start: usize,
    length: usize,
}

/// The mappings of `program` in a text like `/proc/self/smaps` that nobody may write to and nobody has written to.
/// Relocated data (RELRO) is not writable either by now, but has pages of its own: `Anonymous` is not zero.
fn untouched(smaps: &str, program: &str) -> Vec<Untouched> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(header) = header(line) {
            let (start, end, protection, path) = header;
            let ours = path == program && matches!(protection, "r-xp" | "r--p");
            candidate = (ours && end > start).then(|| Untouched { start, length: end - start });
        } else if let Some(own) = line.strip_prefix("Anonymous:") {
            found.extend(candidate.take().filter(|_| kib(own) == Some(0)));
        }
    }
    found
}

/// `start-end protection offset device inode path`
fn header(line: &str) -> Option<(usize, usize, &str, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let mut fields = rest.splitn(5, ' ');
    let protection = fields.next()?;
    let path = fields.nth(3)?.trim_start();
    Some((start, end, protection, path))
}

fn unmap(mapping: &Untouched) {
    let start = mapping.start as *mut libc::c_void;
    // SAFETY: `MADV_DONTNEED` drops pages of a mapping; the next access maps them again with what backs them. The
    // mapping is private, of a file, and not writable, so no thread of this process can change it between the look at
    // smaps and this call; it had no anonymous page, so what backs every one of its pages is the file. The file is the
    // running executable, which the kernel lets nobody write to (ETXTBSY), and replacing it makes another inode. Every
    // byte of the range therefore reads the same before and after, for every thread, at any instant: a pointer into
    // it, the code that runs in it and this function itself notice nothing but time. The program is never unloaded, so
    // the range stays mapped as long as the process lives. The call touches no memory of Rust's.
    let result = unsafe { libc::madvise(start, mapping.length, libc::MADV_DONTNEED) };
    if result != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "program pages stay resident");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SMAPS: &str = "\
1000-3000 r--p 00000000 08:01 77                         /bin/mesh glass\nRss: 8 kB\nAnonymous:             0 kB
3000-9000 r-xp 00002000 08:01 77                         /bin/mesh glass\nAnonymous:             0 kB
9000-a000 r--p 00008000 08:01 77                         /bin/mesh glass\nAnonymous:             4 kB
a000-b000 rw-p 00009000 08:01 77                         /bin/mesh glass\nAnonymous:             0 kB
b000-c000 r-xp 00000000 08:01 78                         /lib/libc.so.6\nAnonymous:             0 kB
c000-d000 r-xp 00000000 00:00 0 \nAnonymous:             0 kB
";

    #[test]
    fn only_what_nobody_can_have_changed_is_given_back() {
        let found = untouched(SMAPS, "/bin/mesh glass");
        assert_eq!(found, [Untouched { start: 0x1000, length: 0x2000 }, Untouched { start: 0x3000, length: 0x6000 }]);
        assert!(untouched(SMAPS, "/bin/other").is_empty());
    }

    #[test]
    fn proc_is_read() {
        assert_eq!(cpu_ticks("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0"), Some(42));
        assert_eq!(cpu_ticks("nothing"), None);
        assert_eq!(file_kib("VmRSS:\t  9 kB\nRssFile:\t    7168 kB\n"), Some(7168));
    }

    /// The test program itself goes on after its pages are gone, and they are fewer than before.
    #[test]
    fn a_program_outlives_the_loss_of_its_pages() {
        let program = std::fs::read_link("/proc/self/exe").unwrap().display().to_string();
        assert!(!untouched(&stat("/proc/self/smaps").unwrap(), &program).is_empty());
        let before = stat("/proc/self/status").as_deref().and_then(file_kib).unwrap();
        give_back();
        let after = stat("/proc/self/status").as_deref().and_then(file_kib).unwrap();
        assert!(after < before, "{before} KiB of files resident before, {after} KiB after");
    }
}
