//! What the browser loads, embedded.

use std::sync::LazyLock;

use crate::shell;

/// Bytes of everything the page loads, uncompressed.
pub const SIZE_LIMIT: usize = 200 * 1024;

/// One file of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Below `/ui/`; empty for the page itself.
    pub name: &'static str,
    pub content_type: &'static str,
    pub body: &'static [u8],
    /// Weak, because the server may compress the body on the way out.
    pub etag: String,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! embedded {
    ($($name:literal: $content_type:expr),* $(,)?) => {
        [$(($name, $content_type, include_bytes!(concat!("../assets/", $name)).as_slice())),*]
    };
}

static PAGE: LazyLock<String> = LazyLock::new(shell::page);

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files = embedded![
        "app.css": CSS,
        "theme.js": JAVASCRIPT,
        "main.js": JAVASCRIPT,
        "address.js": JAVASCRIPT,
        "cards.js": JAVASCRIPT,
        "charts.js": JAVASCRIPT,
        "dom.js": JAVASCRIPT,
        "dots.js": JAVASCRIPT,
        "faults.js": JAVASCRIPT,
        "format.js": JAVASCRIPT,
        "graph.js": JAVASCRIPT,
        "layout.js": JAVASCRIPT,
        "live.js": JAVASCRIPT,
        "mesh.js": JAVASCRIPT,
        "panel.js": JAVASCRIPT,
        "table.js": JAVASCRIPT,
        "viewport.js": JAVASCRIPT,
        "icon.svg": SVG,
    ];
    let page = [("", HTML, PAGE.as_bytes())];
    page.into_iter()
        .chain(files)
        .map(|(name, content_type, body)| Asset { name, content_type, body, etag: etag(body) })
        .collect()
});

/// All of them, the page first.
pub fn assets() -> &'static [Asset] {
    &ASSETS
}

/// FNV-1a: the tag only has to change when the bytes do, nobody gains by a collision.
fn etag(body: &[u8]) -> String {
    let hash = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("W/\"{hash:016x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_follows_the_bytes() {
        assert_eq!(etag(b""), "W/\"cbf29ce484222325\"");
        assert_eq!(etag(b"a"), "W/\"af63dc4c8601ec8c\"");
    }
}
