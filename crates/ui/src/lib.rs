//! The page at `/ui/`: who calls whom, how much of it fails, and where, live.
//!
//! On the road: `page ◄── ui ◄── api`, the last stop. Start from [`router`].
//!
//! Invariants: the page reads only what `/v1` shows everybody and has no door of its own into the mesh; every asset is
//! in the binary and nothing is fetched from elsewhere; no name that a user chose is ever parsed as markup; together
//! the assets stay under [`SIZE_LIMIT`] bytes.
//!
//! ```
//! let app: axum::Router = ui::router();
//! assert!(ui::assets().iter().map(|asset| asset.body.len()).sum::<usize>() < ui::SIZE_LIMIT);
//! # drop(app);
//! ```

mod assets;
mod router;
mod shell;

pub use assets::{Asset, SIZE_LIMIT, assets};
pub use router::router;
