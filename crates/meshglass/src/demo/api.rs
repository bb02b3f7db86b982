//! `/v1/demo/faults`: the switches, for the page and for curl.

use api::response;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::faults::Switchboard;

pub fn router(board: Switchboard) -> Router {
    Router::new().route("/v1/demo/faults", get(list).put(on).delete(off)).with_state(board)
}

fn shown(board: &Switchboard) -> Response {
    let active: Vec<Value> = board
        .active()
        .iter()
        .map(|fault| {
            let (kind, target, value) = (fault.kind_name(), fault.target(), fault.value());
            json!({"Kind": kind, "Target": target, "Value": value, "Spec": fault.to_string()})
        })
        .collect();
    response::json(&json!({"Targets": board.targets(), "Active": active})).into_response()
}

async fn list(State(board): State<Switchboard>) -> Response {
    shown(&board)
}

/// `{"Spec": …}`; none when the body is empty.
fn spec(body: &[u8]) -> Result<Option<String>, String> {
    if body.is_empty() {
        return Ok(None);
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("expected {{\"Spec\": \"…\"}}: {error}"))?;
    let spec = value["Spec"].as_str().filter(|spec| !spec.is_empty());
    spec.map(|spec| Some(spec.to_owned())).ok_or_else(|| "expected {\"Spec\": \"…\"}".to_owned())
}

async fn on(State(board): State<Switchboard>, body: Bytes) -> Response {
    let switched = spec(&body).and_then(|spec| board.switch_on(&spec.unwrap_or_default()).map_err(|e| e.to_string()));
    match switched {
        Ok(_) => shown(&board),
        Err(problem) => response::text(StatusCode::BAD_REQUEST, problem),
    }
}

/// Without a spec: all of them.
async fn off(State(board): State<Switchboard>, body: Bytes) -> Response {
    match spec(&body) {
        Ok(None) => {
            board.switch_off("");
            shown(&board)
        }
        Ok(Some(spec)) if board.switch_off(&spec) => shown(&board),
        Ok(Some(spec)) => response::text(StatusCode::NOT_FOUND, format!("fault {spec:?} is not switched on")),
        Err(problem) => response::text(StatusCode::BAD_REQUEST, problem),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(board: &Switchboard, method: &str, body: &str) -> (u16, String) {
        let request =
            Request::builder().method(method).uri("/v1/demo/faults").body(Body::from(body.to_owned())).unwrap();
        let answer = router(board.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn faults_are_switched_over_http() {
        let board = Switchboard::new(vec![("emojify-cache", 1), ("emojify-cache", 2)]);
        let (status, text) = ask(&board, "PUT", r#"{"Spec":"errors:emojify-cache#1:30%"}"#).await;
        assert_eq!(status, 200, "{text}");
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["Targets"], json!(["emojify-cache#1", "emojify-cache#2"]));
        assert_eq!(shown["Active"][0]["Kind"], "errors");
        assert_eq!(shown["Active"][0]["Target"], "emojify-cache#1");
        assert_eq!(shown["Active"][0]["Value"], "30%");
        for bad in ["", "{}", "nonsense", r#"{"Spec":""}"#, r#"{"Spec":"errors:emojify-cache#3:1%"}"#] {
            let (status, text) = ask(&board, "PUT", bad).await;
            assert_eq!(status, 400, "{bad}: {text}");
            assert!(text.contains("expected") || text.contains("there is no emojify-cache#3"), "{text}");
        }
        assert_eq!(ask(&board, "DELETE", r#"{"Spec":"errors:emojify-cache#2"}"#).await.0, 404);
        assert_eq!(ask(&board, "DELETE", "").await.0, 200);
        assert!(board.active().is_empty());
    }
}
