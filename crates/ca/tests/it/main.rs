//! The authority against judges that are not ours: the `openssl` command line, and rustls.
#![allow(clippy::unwrap_used)]

mod chain;
mod openssl;
mod refuse;
