//! `/v1/coordinate/…`: where nodes stand in the network.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use http::StatusCode;
use model::{Coordinate, NodeCoordinate};
use serde::{Deserialize, Serialize};
use store::Topic;

use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest, prefix};
use crate::response;
use crate::server::ServerState;

pub(crate) fn router() -> Router<ServerState> {
    let router = Router::new()
        .route("/v1/coordinate/datacenters", get(datacenters))
        .route("/v1/coordinate/nodes", get(nodes))
        .route("/v1/coordinate/update", put(update));
    prefix(router, "/v1/coordinate/node/", get(node))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Place<'a> {
    node: &'a str,
    segment: &'a str,
    coord: &'a Coordinate,
}

impl<'a> From<&'a NodeCoordinate> for Place<'a> {
    fn from(place: &'a NodeCoordinate) -> Self {
        Self { node: &place.node, segment: &place.segment, coord: &place.coordinate }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Datacenter<'a> {
    datacenter: &'a str,
    #[serde(rename = "AreaID")]
    area_id: &'static str,
    coordinates: Vec<Place<'a>>,
}

/// The servers of each datacenter: this one alone, at the origin.
async fn datacenters(State(server): State<ServerState>, _options: QueryOptions) -> Result<Response, Error> {
    let origin = Coordinate::default();
    let own = Place { node: server.node_name(), segment: "", coord: &origin };
    response::json(&[Datacenter { datacenter: &server.datacenter, area_id: "wan", coordinates: vec![own] }])
}

async fn nodes(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let rights = server.authorizer(&options)?;
    let (state, index) = server.read(&options, &[Topic::Coordinates]).await?;
    let segment = options.params.get("segment");
    let wanted = |place: &&Place<'_>| {
        segment.is_none_or(|segment| segment == place.segment) && rights.may(Resource::Node, place.node, Right::Read)
    };
    let places: Vec<_> = state.coordinates().map(|place| Place::from(&*place.value)).filter(|p| wanted(&p)).collect();
    response::indexed(index, &places)
}

async fn node(State(server): State<ServerState>, Rest(name): Rest, options: QueryOptions) -> Result<Response, Error> {
    server.authorizer(&options)?.check(Resource::Node, &name, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::Coordinates]).await?;
    let segment = options.params.get("segment");
    let wanted = state.coordinates_of(&name).filter(|place| segment.is_none_or(|segment| segment == place.segment));
    let places: Vec<_> = wanted.map(|place| Place::from(&*place.value)).collect();
    if places.is_empty() {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    response::indexed(index, &places)
}

const UPDATE: Shape = Object(&[
    ("Datacenter", Any),
    ("Node", Any),
    ("Segment", Any),
    ("Coord", Object(&[("Vec", Any), ("Error", Any), ("Adjustment", Any), ("Height", Any)])),
]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Update {
    datacenter: String,
    node: String,
    segment: String,
    coord: Coordinate,
}

async fn update(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let update: Update =
        crate::json::decode(&body, &UPDATE, "structs.CoordinateUpdateRequest").map_err(Error::Decode)?;
    server.admit_write(&options, &update.datacenter)?;
    server.authorizer(&options)?.check(Resource::Node, &update.node, Right::Write)?;
    if !update.coord.is_valid() {
        return Err(Error::Refused("incompatible coordinate".to_owned()));
    }
    let place = NodeCoordinate { node: update.node, segment: update.segment, coordinate: update.coord };
    server.store.put_coordinate(place).await?;
    Ok(response::empty())
}
