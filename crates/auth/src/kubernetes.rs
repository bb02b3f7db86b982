//! Logging in with the token of a pod's service account, which the Kubernetes API is asked about.

use std::collections::BTreeMap;

use bytes::Bytes;
use client::Client;
use http::Method;
use model::OpaqueMap;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Proven;
use crate::config::Config;
use crate::error::Error;
use crate::jws::Signed;
use crate::{keys, remote};

/// A service account may say by this annotation which service its pods are.
const SERVICE_NAME: &str = "consul.hashicorp.com/service-name";
const USER_PREFIX: &str = "system:serviceaccount:";

pub struct Kubernetes {
    client: Client,
    /// What the host's URL has before `/apis`.
    base: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Review {
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    authenticated: bool,
    error: String,
    user: User,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
    uid: String,
}

impl Kubernetes {
    pub(crate) fn new(map: &OpaqueMap) -> Result<Self, Error> {
        let config = Config::new(map, &["Host", "CACert", "ServiceAccountJWT"])?;
        let [host, ca, jwt] = [config.text("Host")?, config.text("CACert")?, config.text("ServiceAccountJWT")?];
        let required = |name: &str, value: &str| match value {
            "" => Err(Error::Config(format!("Config.{name} is required"))),
            _ => Ok(()),
        };
        required("Host", &host)?;
        required("CACert", &ca)?;
        if keys::from_pem(&ca).is_none() {
            let why = "data does not contain any valid RSA or ECDSA certificates";
            return Err(Error::Config(format!("error parsing kubernetes ca cert: {why}")));
        }
        required("ServiceAccountJWT", &jwt)?;
        Signed::parse(&jwt)
            .map_err(|error| Error::Config(format!("Config.ServiceAccountJWT is not a valid JWT: {error}")))?;
        let host = if host.contains("://") { host } else { format!("https://{host}") };
        let (client, path) =
            remote::client_of(&host, &ca).map_err(|why| Error::Config(format!("Config.Host: {why}")))?;
        Ok(Self { client: client.with_bearer(&jwt), base: path.trim_end_matches('/').to_owned() })
    }

    pub(crate) async fn login(&self, bearer: &str) -> Result<Proven, Error> {
        Signed::parse(bearer).map_err(|error| Error::Mapping(format!("failed to parse and validate JWT: {error}")))?;
        let user = self.review(bearer).await?;
        let parts: Vec<&str> = match user.username.strip_prefix(USER_PREFIX) {
            Some(rest) => rest.split(':').collect(),
            None => return Err(Error::Review("username returned is not a service account".to_owned())),
        };
        let [namespace, name] = parts[..] else {
            return Err(Error::Review("unexpected username format".to_owned()));
        };
        let annotated = self.annotation(namespace, name).await?;
        let name = if annotated.is_empty() { name } else { &annotated };
        let selectable = json!({"serviceaccount": {"namespace": namespace, "name": name, "uid": user.uid}});
        Ok(Proven { selectable, variables: variables(namespace, name, &user.uid) })
    }

    async fn review(&self, bearer: &str) -> Result<User, Error> {
        let path = format!("{}/apis/authentication.k8s.io/v1/tokenreviews", self.base);
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": bearer },
        });
        let body = Bytes::from(review.to_string());
        let answer = remote::send(&self.client, Method::POST, &path, body).await.map_err(Error::Review)?;
        let review: Review = serde_json::from_slice(&answer.body).map_err(|e| Error::Review(e.to_string()))?;
        if !review.status.error.is_empty() {
            return Err(Error::Review(review.status.error));
        }
        if !review.status.authenticated {
            return Err(Error::Review("service account jwt not valid".to_owned()));
        }
        Ok(review.status.user)
    }

    async fn annotation(&self, namespace: &str, name: &str) -> Result<String, Error> {
        let (namespace, name) = (client::escape(namespace), client::escape(name));
        let path = format!("{}/api/v1/namespaces/{namespace}/serviceaccounts/{name}", self.base);
        let answer = remote::send(&self.client, Method::GET, &path, Bytes::new()).await.map_err(Error::Annotation)?;
        let account: Value = serde_json::from_slice(&answer.body).map_err(|e| Error::Annotation(e.to_string()))?;
        let annotation = account.get("metadata").and_then(|metadata| metadata.get("annotations"));
        let annotation = annotation.and_then(|annotations| annotations.get(SERVICE_NAME)).and_then(Value::as_str);
        Ok(annotation.unwrap_or_default().to_owned())
    }
}

pub(crate) fn variables(namespace: &str, name: &str, uid: &str) -> BTreeMap<String, String> {
    [("namespace", namespace), ("name", name), ("uid", uid)]
        .into_iter()
        .map(|(key, value)| (format!("serviceaccount.{key}"), value.to_owned()))
        .collect()
}
