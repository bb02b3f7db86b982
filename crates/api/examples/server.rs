//! Serves the server half alone: `cargo run -p meshglass-api --example server -- 127.0.0.1:8500 my-node`.

use std::process::ExitCode;

use api::App;
use api::server::{Identity, ServerState, router};
use store::{Memory, Store};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8500".to_owned());
    let node_name = arguments.next().unwrap_or_else(|| "localhost".to_owned());
    match run(&address, node_name).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(address: &str, node_name: String) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(Memory::new()).await?;
    let node_id = "11111111-2222-3333-4444-555555555555".to_owned();
    let state = ServerState::start(store, &Identity { node_name, node_id, ..Identity::default() }).await?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    let app = App::new(true).merge(router(state)).into_router();
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(api::serve(listener, app, stop).await?)
}
