//! The sinks as a scraper and a StatsD server meet them.
#![allow(clippy::unwrap_used)]

mod datagrams;
mod scrape;
mod world;
