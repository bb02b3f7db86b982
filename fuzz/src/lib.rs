//! A small fuzzer for stable Rust: seeds from the corpus, mutated by a seeded generator, judged by oracles.
//!
//! A run is repeated exactly with the same `--seed` and `--runs`. When an oracle fails or the code panics, the input is
//! written to `fuzz/crashes/` and the program ends with code 1.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use model::hcl::{Node, Position, Value};

/// Inputs are not grown beyond this.
pub const LARGEST_INPUT: usize = 64 << 10;
/// No input of this size may take longer, also on a busy machine.
const LONGEST_RUN: Duration = Duration::from_secs(2);

/// SplitMix64: enough for mutations, the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`, which must not be zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }
}

/// How long to run, as typed.
struct Limits {
    seed: u64,
    runs: u64,
    until: Option<Instant>,
}

fn limits() -> Result<Limits, String> {
    let mut limits = Limits { seed: 1, runs: u64::MAX, until: None };
    let mut given = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let number = arguments.next().and_then(|text| text.parse::<u64>().ok());
        let number = number.ok_or_else(|| format!("{flag}: expected a whole number behind it"))?;
        match flag.as_str() {
            "--seed" => limits.seed = number,
            "--runs" => (limits.runs, given) = (number, true),
            "--seconds" => (limits.until, given) = (Some(Instant::now() + Duration::from_secs(number)), true),
            _ => return Err(format!("unknown flag {flag}; known are --runs N, --seconds N, --seed N")),
        }
    }
    if !given {
        limits.runs = 100_000;
    }
    Ok(limits)
}

/// Runs `target` on every seed and then on mutations until the limits of the command line are reached. `words` are
/// pieces of the language that random bytes would hardly find.
pub fn run(name: &str, seeds: &[Vec<u8>], words: &[&str], target: impl Fn(&[u8]) -> Result<(), String>) -> ExitCode {
    let limits = match limits() {
        Ok(limits) => limits,
        Err(why) => {
            eprintln!("{name}: {why}");
            return ExitCode::FAILURE;
        }
    };
    if seeds.is_empty() {
        eprintln!("{name}: no seeds");
        return ExitCode::FAILURE;
    }
    let mut random = Random::new(limits.seed);
    let (mut runs, mut slowest) = (0_u64, Duration::ZERO);
    let started = Instant::now();
    while runs < limits.runs && limits.until.is_none_or(|until| Instant::now() < until) {
        let input = match seeds.get(runs as usize) {
            Some(seed) => seed.clone(),
            None => mutate(&mut random, seeds, words),
        };
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let took = began.elapsed();
        slowest = slowest.max(took);
        let complaint = match outcome {
            Err(_) => Some("panicked".to_owned()),
            Ok(Err(complaint)) => Some(complaint),
            Ok(Ok(())) if took > LONGEST_RUN => Some(format!("took {took:?} for {} bytes", input.len())),
            Ok(Ok(())) => None,
        };
        if let Some(complaint) = complaint {
            let file = keep(name, &input);
            eprintln!("{name}: run {runs} with seed {}: {complaint}\n{name}: input kept in {file}", limits.seed);
            return ExitCode::FAILURE;
        }
        runs += 1;
    }
    println!(
        "{name}: {runs} runs in {:.1?} from {} seeds, slowest {slowest:.1?}, no failure",
        started.elapsed(),
        seeds.len()
    );
    ExitCode::SUCCESS
}

fn keep(name: &str, input: &[u8]) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("crashes");
    let file = directory.join(format!("{name}-{}", input.len()));
    match std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&file, input)) {
        Ok(()) => file.display().to_string(),
        Err(error) => format!("nowhere ({error}): {:?}", String::from_utf8_lossy(input)),
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut out = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(out.len() + 1);
        let end = at + random.below((out.len() - at).min(40) + 1);
        match random.below(9) {
            0 if at < out.len() => out[at] = random.draw() as u8,
            1 if at < out.len() => out[at] ^= 1 << random.below(8),
            2 => drop(out.drain(at..end)),
            3 => {
                let piece = out[at..end].to_vec();
                let times = 1 + random.below(4);
                out.splice(at..at, piece.repeat(times));
            }
            4 => out.truncate(at),
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() - from + 1);
                out.splice(at..at, other[from..to].iter().copied());
            }
            6 => {
                let word = words[random.below(words.len())].as_bytes();
                let times = if random.below(50) == 0 { 1 + random.below(2000) } else { 1 };
                out.splice(at..at, word.repeat(times));
            }
            7 => {
                let word = words[random.below(words.len())].as_bytes();
                out.splice(at..end, word.iter().copied());
            }
            _ => {
                let number = random.draw() as i64 >> random.below(64);
                out.splice(at..end, number.to_string().into_bytes());
            }
        }
        out.truncate(LARGEST_INPUT);
    }
    out
}

/// Every file below `conformance/hcl` that ends in `ending`.
pub fn corpus(ending: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/hcl");
    let mut files: Vec<PathBuf> = ["valid", "invalid", "lenient", "strict"]
        .iter()
        .filter_map(|directory| std::fs::read_dir(root.join(directory)).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    // The order decides what a seed of the generator means.
    files.sort();
    files.iter().filter_map(|file| std::fs::read(file).ok()).collect()
}

/// Whether a place lies in the text: on a line that exists, at most one behind its last character.
pub struct Places(Vec<usize>);

impl Places {
    pub fn of(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Self(text.split('\n').map(|line| line.chars().count()).collect())
    }

    pub fn check(&self, at: Position) -> Result<(), String> {
        let line = (at.line as usize).checked_sub(1).and_then(|line| self.0.get(line));
        match line {
            Some(length) if at.column >= 1 && at.column as usize <= length + 1 => Ok(()),
            _ => Err(format!("position {at} is outside of the text")),
        }
    }

    pub fn check_tree(&self, node: &Node) -> Result<(), String> {
        self.check(node.at)?;
        match &node.value {
            Value::List(items) => items.iter().try_for_each(|item| self.check_tree(item)),
            Value::Object(object) => object.entries.iter().try_for_each(|entry| {
                self.check(entry.at)?;
                self.check_tree(&entry.node)
            }),
            _ => Ok(()),
        }
    }
}

/// Every line of a message that names the file `FILE` must go on with a line and a column.
pub fn check_message(message: &str) -> Result<(), String> {
    if message.trim().is_empty() {
        return Err("an error without words".to_owned());
    }
    let placed = |rest: &str| {
        let mut parts = rest.splitn(3, ':');
        let number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok());
        number(parts.next()) && number(parts.next()) && parts.next().is_some_and(|rest| !rest.trim().is_empty())
    };
    match message.strip_prefix("FILE:") {
        Some(rest) if placed(rest) => Ok(()),
        _ => Err(format!("no place in the message {message:?}")),
    }
}
