//! Parts of a request: the rest of the path after a prefix, and a body of bounded size.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::error::Error;
use crate::query_options::decode;

/// The largest request body; Consul's limit for a KV value, and plenty for everything else.
pub const BODY_LIMIT_BYTES: usize = 512 << 10;

/// What follows the prefix that the route was registered with, percent-decoded; may be empty and may hold `/`.
#[derive(Debug, Clone)]
pub struct Rest(pub String);

/// The prefix a route was registered with; its answers carry it too, so that requests can be counted by route.
#[derive(Clone, Copy)]
pub(crate) struct Prefix(pub &'static str);

/// Registers a prefix route the way Go's mux has it: `path` must end in `/`, and everything under it is the same route,
/// the bare prefix included (so that it can answer `Missing …`). Handlers read the rest with [`Rest`].
pub fn prefix<S>(router: Router<S>, path: &'static str, route: MethodRouter<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let said = map_response(move |mut response: Response| async move {
        response.extensions_mut().insert(Prefix(path));
        response
    });
    let route = route.layer(Extension(Prefix(path))).layer(said);
    router.route(path, route.clone()).route(&format!("{path}{{*rest}}"), route)
}

impl<S: Send + Sync> FromRequestParts<S> for Rest {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let Some(Prefix(prefix)) = parts.extensions.get::<Prefix>() else {
            return Err(Error::Refused("route without a prefix".to_owned()));
        };
        Ok(Self(decode(parts.uri.path().strip_prefix(prefix).unwrap_or_default(), false)))
    }
}

/// The whole body, or 413.
pub async fn body(body: Body) -> Result<Bytes, Error> {
    body_up_to(body, BODY_LIMIT_BYTES).await
}

/// The same for the few routes that take more.
pub(crate) async fn body_up_to(body: Body, limit: usize) -> Result<Bytes, Error> {
    let size = http_body::Body::size_hint(&body).exact();
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let size = size.unwrap_or(limit as u64 + 1);
            Err(Error::TooLarge { size, limit })
        }
        Err(error) => Err(Error::Invalid(format!("reading the request body: {error}"))),
    }
}

/// The whole body, or 413 with the name of the setting that limits it, in Consul's words.
pub(crate) async fn limited(body: Body, limit: usize, setting: &str) -> Result<Bytes, Error> {
    let size = http_body::Body::size_hint(&body).exact();
    let too_large = || {
        let size = size.unwrap_or(limit as u64 + 1);
        let text = format!(
            "Request body({size} bytes) too large, max size: {limit} bytes. \
             See https://www.consul.io/docs/agent/options.html#{setting}."
        );
        Error::Status { status: StatusCode::PAYLOAD_TOO_LARGE, text }
    };
    if size.is_some_and(|size| size > limit as u64) {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Error::Invalid(format!("reading the request body: {error}"))),
    }
}

/// The whole body of a request, of bounded size.
pub struct Payload(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        body(request.into_body()).await.map(Self)
    }
}
