//! The program; everything it does is in the library. The system's allocator: mimalloc keeps 13 MiB more in a sidecar
//! that does nothing.

fn main() -> std::process::ExitCode {
    meshglass::commands::main()
}
