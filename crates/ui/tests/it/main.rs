//! The page as a browser gets it.

#![allow(clippy::unwrap_used)]

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

async fn ask(method: Method, path: &str, known: Option<&str>) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(tag) = known {
        request = request.header(IF_NONE_MATCH, tag);
    }
    ui::router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn every_asset_has_its_type_its_policy_and_its_tag() {
    for asset in ui::assets() {
        let path = format!("/ui/{}", asset.name);
        let response = ask(Method::GET, &path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let expected = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(response.headers()[CONTENT_TYPE], expected, "{path}");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        let tag = response.headers()[ETAG].to_str().unwrap().to_owned();
        assert_eq!(text(response).await.as_bytes(), asset.body);

        for known in [tag.as_str(), &format!("\"other\", {tag}"), tag.trim_start_matches("W/"), "*"] {
            let again = ask(Method::GET, &path, Some(known)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(text(again).await, "");
        }
        assert_eq!(ask(Method::GET, &path, Some("\"other\"")).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn all_of_it_is_small_and_nothing_is_missing() {
    let total: usize = ui::assets().iter().map(|asset| asset.body.len()).sum();
    assert!(total < ui::SIZE_LIMIT, "{total} bytes");
    let page = text(ask(Method::GET, "/ui/", None).await).await;
    let mut sources = vec![page];
    for asset in ui::assets().iter().filter(|asset| asset.name.ends_with(".js")) {
        sources.push(String::from_utf8(asset.body.to_vec()).unwrap());
    }
    let mut seen = 0;
    for source in &sources {
        let quoted = source.split('"').skip(1).step_by(2);
        for name in quoted.filter(|word| word.ends_with(".js") || word.ends_with(".css") || word.ends_with(".svg")) {
            let name = name.trim_start_matches("./");
            assert!(ui::assets().iter().any(|asset| asset.name == name), "{name} is asked for and not there");
            seen += 1;
        }
    }
    assert!(seen >= ui::assets().len() - 1, "every asset but the page is asked for by another");
}

#[tokio::test]
async fn addresses_beside_the_page_lead_to_it_or_are_not_found() {
    for path in ["/ui", "/ui/index.html", "/ui/dc1/services", "/ui/dc1/nodes"] {
        let response = ask(Method::GET, path, None).await;
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT, "{path}");
        assert_eq!(response.headers()[LOCATION], "/ui/");
    }
    for path in ["/ui/lost.js", "/ui/../Cargo.toml", "/ui/%2e%2e/Cargo.toml"] {
        assert_eq!(ask(Method::GET, path, None).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ask(Method::POST, "/ui/", None).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(text(ask(Method::HEAD, "/ui/", None).await).await, "");
}
