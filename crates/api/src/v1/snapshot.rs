//! `/v1/snapshot`: all that is stored, to be kept elsewhere and put back.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, header};
use serde_json::json;

use crate::archive;
use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request;
use crate::response;
use crate::server::ServerState;

pub(crate) fn router() -> Router<ServerState> {
    Router::new().route("/v1/snapshot", get(save).put(restore))
}

/// Every secret is in it.
fn admit(server: &ServerState, options: &QueryOptions) -> Result<(), Error> {
    server.authorizer(options)?.check(Resource::Acl, "", Right::Write)
}

async fn save(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.admit(&options)?;
    admit(&server, &options)?;
    let (index, state) = server.store.export().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // There are no terms: nobody is elected.
    let meta = json!({
        "Version": 1, "ID": format!("1-{index}-{}", now.as_millis()), "Index": index, "Term": 1, "Peers": "",
        "Configuration": { "Servers": [{ "Suffrage": 0, "ID": server.node_id(), "Address": server.peer() }] },
        "ConfigurationIndex": 1, "Size": state.len(),
    });
    let packed = tokio::task::spawn_blocking(move || archive::pack(&meta, &state, now.as_secs())).await;
    let failed = |why: String| Error::Refused(format!("failed to write snapshot: {why}"));
    let packed = packed.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    let mut answer = packed.into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-gzip"));
    Ok(response::with_index(answer, index, true))
}

async fn restore(State(server): State<ServerState>, options: QueryOptions, body: Body) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    admit(&server, &options)?;
    let packed = request::body_up_to(body, archive::LIMIT_BYTES).await?;
    let datacenter = server.datacenter.clone();
    let facts = tokio::task::spawn_blocking(move || archive::facts(&archive::unpack(&packed)?, &datacenter));
    let facts = facts.await.map_err(|error| Error::Refused(error.to_string()))?.map_err(Error::Refused)?;
    server.store.replace_all(facts).await?;
    Ok(response::empty())
}
