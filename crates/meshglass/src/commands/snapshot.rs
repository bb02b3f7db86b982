//! `snapshot save|restore|inspect`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use clap::{ArgMatches, Command};
use flate2::read::GzDecoder;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::archive::Reader;
use super::flags::{arguments, given, rest, text, with_server};
use super::terminal::Progress;
use super::{Failure, Outcome, Output, api, open_error};

/// A restore answers when all of the state is in place.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";

pub fn command() -> Command {
    let save = with_server(Command::new("save"))
        .about("Save the servers' state into a file")
        .long_about(
            "Saves a snapshot of the state and checks it before it gets its name.\n\n    \
             $ consul snapshot save backup.snap",
        )
        .arg(rest("FILE"));
    let restore = with_server(Command::new("restore"))
        .about("Put the servers' state back from a file")
        .long_about("Replaces the state by that of a snapshot.\n\n    $ consul snapshot restore backup.snap")
        .arg(rest("FILE"));
    let inspect = Command::new("inspect")
        .about("Show what a snapshot is")
        .long_about(
            "Checks a snapshot and shows its id, size, index and term.\n\n    $ consul snapshot inspect backup.snap",
        )
        .arg(text("format", "string", "How to print it: pretty (the default) or json."))
        .arg(rest("FILE"));
    Command::new("snapshot")
        .about("Save, restore and inspect the servers' state")
        .long_about("Saves the state of the servers, puts it back, and tells what is in a file.")
        .subcommands([inspect, restore, save])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("save", matches)) => save(matches).await,
        Some(("restore", matches)) => restore(matches).await,
        Some(("inspect", matches)) => inspect(matches),
        _ => Err(Failure::usage("Must name one of inspect, restore, save")),
    }
}

fn file_argument(matches: &ArgMatches) -> Result<String, Failure> {
    match arguments(matches).as_slice() {
        [] => Err(Failure::new("Missing FILE argument")),
        [file] => Ok(file.clone()),
        more => Err(Failure::new(format!("Too many arguments (expected 1, got {})", more.len()))),
    }
}

/// What a snapshot says of itself.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    #[serde(default)]
    version: u64,
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    term: u64,
    #[serde(default)]
    size: u64,
}

async fn save(matches: &ArgMatches) -> Outcome {
    let file = file_argument(matches)?;
    let api = api(matches)?;
    let mut answer =
        api.client.follow("/v1/snapshot", &api.query()).await.map_err(Failure::about("Error saving snapshot"))?;
    // It gets its name when it is known to be whole.
    let unverified = format!("{file}.unverified.tmp{}", std::process::id());
    let writing =
        |e: &io::Error| Failure::new(format!("Error writing unverified snapshot file: {}", open_error(&unverified, e)));
    let (mut output, progress) = (File::create(&unverified).map_err(|e| writing(&e))?, Progress::new());
    let outcome = async {
        let mut saved = 0;
        while let Some(piece) = answer.next().await.map_err(Failure::about("Error saving snapshot"))? {
            output.write_all(&piece).map_err(|e| writing(&e))?;
            saved += piece.len();
            progress.tell(format!("{} KiB saved", saved >> 10));
        }
        output.sync_all().map_err(|e| writing(&e))?;
        let read = File::open(&unverified).map_err(|e| e.to_string()).and_then(read);
        let meta = read.map_err(|why| Failure::new(format!("Error verifying snapshot file: {why}")))?;
        std::fs::rename(&unverified, &file).map_err(|e| Failure::new(format!("Error renaming snapshot file: {e}")))?;
        Ok(meta)
    };
    let outcome = outcome.await;
    drop(progress);
    match outcome {
        Ok(meta) => Ok(Output::line(format!("Saved and verified snapshot to index {}", meta.index))),
        Err(failure) => {
            let _ = std::fs::remove_file(&unverified);
            Err(failure)
        }
    }
}

async fn restore(matches: &ArgMatches) -> Outcome {
    let file = file_argument(matches)?;
    let content = std::fs::read(&file).map_err(|e| opening(&file, &e))?;
    let (api, progress) = (api(matches)?, Progress::new());
    progress.tell(format!("restoring {} KiB", content.len() >> 10));
    let answer = api.client.send(Method::PUT, &api.path("/v1/snapshot"), content.into(), RESTORE_TIMEOUT).await;
    drop(progress);
    answer.and_then(client::Raw::success).map_err(Failure::about("Error restoring snapshot"))?;
    Ok(Output::line("Restored snapshot"))
}

fn opening(file: &str, error: &io::Error) -> Failure {
    Failure::new(format!("Error opening snapshot file: {}", open_error(file, error)))
}

fn inspect(matches: &ArgMatches) -> Outcome {
    let file = file_argument(matches)?;
    let input = File::open(&file).map_err(|e| opening(&file, &e))?;
    if Path::new(&file).is_dir() {
        let why = format!("failed to decompress snapshot: read {file}: is a directory");
        return Err(Failure::new(format!("Error verifying snapshot: {why}")));
    }
    let meta = read(input).map_err(|why| Failure::new(format!("Error verifying snapshot: {why}")))?;
    if given(matches, "format") == Some("json") {
        let shown = json!({ "Meta": { "ID": meta.id, "Size": meta.size, "Index": meta.index, "Term": meta.term,
            "Version": meta.version } });
        return Ok(Output::line(super::json::indent(&shown.to_string(), "   ")));
    }
    Ok(Output::text(format!(
        "ID           {}\nSize         {}\nIndex        {}\nTerm         {}\nVersion      {}\n\n",
        meta.id, meta.size, meta.index, meta.term, meta.version
    )))
}

/// Reads all of it, checks the sums, and gives what it says of itself.
fn read(input: impl Read) -> Result<Meta, String> {
    let mut input = GzDecoder::new(Counted { input, any: false });
    // The header is read with the first byte.
    let mut first = [0];
    if let Err(error) = input.read(&mut first) {
        let any = input.get_ref().any;
        return Err(format!("failed to decompress snapshot: {}", gzip_words(&error, any)));
    }
    members(first.as_slice().chain(input)).map_err(|why| format!("failed to read snapshot file: {why}"))
}

/// Knows whether there was anything at all.
struct Counted<R> {
    input: R,
    any: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.any |= read > 0;
        Ok(read)
    }
}

fn gzip_words(error: &io::Error, any: bool) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof if !any => "EOF".to_owned(),
        io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        io::ErrorKind::InvalidInput => "gzip: invalid header".to_owned(),
        _ => error.to_string(),
    }
}

fn tar_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        _ => error.to_string(),
    }
}

fn members(input: impl Read) -> Result<Meta, String> {
    let mut reader = Reader::new(input);
    let (mut meta, mut sums) = (None, String::new());
    let mut found = BTreeMap::new();
    while let Some((name, size)) = reader.next().map_err(|e| format!("failed reading snapshot: {}", tar_words(&e)))? {
        let what = match name.as_str() {
            META => "metadata",
            STATE => "state",
            SUMS => "checksums",
            _ => return Err(format!("unexpected file \"{name}\" in snapshot")),
        };
        let read = reader.content(size);
        let content = read.map_err(|e| format!("failed to read snapshot {what}: {}", tar_words(&e)))?;
        match name.as_str() {
            SUMS => sums = String::from_utf8_lossy(&content).into_owned(),
            name => {
                found.insert(name.to_owned(), hex(digest(&SHA256, &content).as_ref()));
                if name == META {
                    let decoded = serde_json::from_slice::<Meta>(&content);
                    meta = Some(decoded.map_err(|e| format!("failed to decode snapshot metadata: {e}"))?);
                }
            }
        }
    }
    verify(&sums, &found).map_err(|why| format!("failed checking integrity of snapshot: {why}"))?;
    meta.ok_or_else(|| format!("failed checking integrity of snapshot: file missing for \"{META}\""))
}

fn verify(sums: &str, found: &BTreeMap<String, String>) -> Result<(), String> {
    let listed: BTreeMap<&str, &str> =
        sums.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    for name in [META, STATE] {
        match (listed.get(name), found.get(name)) {
            (Some(listed), Some(found)) if listed == found => {}
            (Some(_), Some(_)) => return Err(format!("hash check failed for \"{name}\"")),
            _ => return Err(format!("file missing for \"{name}\"")),
        }
    }
    match listed.keys().find(|name| ![META, STATE].contains(name)) {
        Some(extra) => Err(format!("list missing hash for \"{extra}\"")),
        None => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::archive::Writer;
    use super::*;

    const TOLD: &str = r#"{"Version":1,"ID":"2-306-1","Index":306,"Term":2,"Size":3}"#;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), 0);
        for (name, content) in files {
            writer.file(name, content.as_bytes()).unwrap();
        }
        writer.finish().unwrap()
    }

    fn sums(meta: &str, state: &str) -> String {
        let sum = |text: &str| hex(digest(&SHA256, text.as_bytes()).as_ref());
        format!("{}  {META}\n{}  {STATE}\n", sum(meta), sum(state))
    }

    #[test]
    fn a_whole_snapshot_tells_what_it_is() {
        let bytes = archive(&[(META, TOLD), (STATE, "abc"), (SUMS, &sums(TOLD, "abc"))]);
        let meta = read(bytes.as_slice()).unwrap();
        assert_eq!((meta.id.as_str(), meta.index, meta.term, meta.size, meta.version), ("2-306-1", 306, 2, 3, 1));
    }

    #[test]
    fn a_broken_one_is_refused_in_consul_s_words() {
        let prefix = "failed to read snapshot file: ";
        let integrity = "failed to read snapshot file: failed checking integrity of snapshot: ";
        let changed = archive(&[(META, TOLD), (STATE, "abd"), (SUMS, &sums(TOLD, "abc"))]);
        assert_eq!(read(changed.as_slice()).unwrap_err(), format!("{integrity}hash check failed for \"state.bin\""));
        let missing = archive(&[(META, TOLD)]);
        assert_eq!(read(missing.as_slice()).unwrap_err(), format!("{integrity}file missing for \"meta.json\""));
        let foreign = archive(&[("x", "")]);
        assert_eq!(read(foreign.as_slice()).unwrap_err(), format!("{prefix}unexpected file \"x\" in snapshot"));
        assert_eq!(read(b"garbage".as_slice()).unwrap_err(), "failed to decompress snapshot: unexpected EOF");
        assert_eq!(read(b"".as_slice()).unwrap_err(), "failed to decompress snapshot: EOF");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let no_tar = gzip.finish().unwrap();
        assert_eq!(read(no_tar.as_slice()).unwrap_err(), format!("{prefix}failed reading snapshot: unexpected EOF"));
    }
}
