//! `/v1/txn`: many operations, all of them or none.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use base64::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use model::{Blob, Node};
use serde::Serialize;
use serde_json::{Map, Value};
use store::{CatalogVerb, KvOp, KvVerb, TxnError, TxnOp, TxnResult};

use super::kv::write_entry;
use super::shapes::{CheckShape, NodeShape, ServiceShape};
use super::wire;
use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::json::{self, Fields};
use crate::query_options::QueryOptions;
use crate::request::limited;
use crate::response;
use crate::server::ServerState;

/// The most operations of one transaction.
const OPERATIONS_LIMIT: usize = 128;

pub(crate) fn router() -> Router<ServerState> {
    Router::new().route("/v1/txn", put(transact))
}

async fn transact(State(server): State<ServerState>, options: QueryOptions, body: Body) -> Result<Response, Error> {
    let body = limited(body, server.limits.txn_bytes, "txn_max_req_len").await?;
    let ops = operations(&body, &server)?;
    server.admit_write(&options, "")?;
    let authorizer = server.authorizer(&options)?;
    let reads = ops.iter().all(TxnOp::reads);
    let denied = denied(&ops, &server, &authorizer);
    let outcome = if denied.is_empty() { server.store.transact(&ops).await? } else { Err(denied) };
    answer(&outcome, reads, &authorizer)
}

fn operations(body: &[u8], server: &ServerState) -> Result<Vec<TxnOp>, Error> {
    let ops = parse(body).map_err(|why| Error::Invalid(format!("Failed to parse body: {why}")))?;
    let too_large = |text: String| Err(Error::Status { status: StatusCode::PAYLOAD_TOO_LARGE, text });
    if ops.len() > OPERATIONS_LIMIT {
        return too_large(format!("Transaction contains too many operations ({} > {OPERATIONS_LIMIT})", ops.len()));
    }
    let limit = server.limits.kv_value_bytes;
    let size = |op: &TxnOp| if let TxnOp::Kv(op) = op { op.value.as_slice().len() } else { 0 };
    if let Some(TxnOp::Kv(op)) = ops.iter().find(|op| size(op) > limit) {
        let (key, size) = (&op.key, op.value.as_slice().len());
        return too_large(format!("Value for key {key:?} is too large ({size} > {limit} bytes)"));
    }
    let ours = |op| named_here(op, &server.datacenter);
    Ok(ops.into_iter().map(ours).collect())
}

/// A node belongs to this datacenter unless it says otherwise.
fn named_here(mut op: TxnOp, datacenter: &str) -> TxnOp {
    if let TxnOp::Node { node, .. } = &mut op
        && node.datacenter.is_empty()
    {
        datacenter.clone_into(&mut node.datacenter);
    }
    op
}

pub(crate) fn parse(body: &[u8]) -> Result<Vec<TxnOp>, String> {
    let wrong =
        |value: &Value, of: &str| format!("json: cannot unmarshal {} into Go value of type {of}", json::kind(value));
    match json::first(body)? {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => {
            let each = |item: &Value| match item {
                Value::Null => Ok(TxnOp::Nothing),
                Value::Object(map) => operation(map),
                other => Err(wrong(other, "api.TxnOp")),
            };
            list.iter().map(each).collect()
        }
        other => Err(wrong(&other, "api.TxnOps")),
    }
}

fn operation(map: &Map<String, Value>) -> Result<TxnOp, String> {
    let fields = Fields::new(map, "TxnOp");
    fields.refuse_unknown(&["KV", "Node", "Service", "Check", "Session"])?;
    if let Some(kv) = fields.object("KV", "api.KVTxnOp", "KVTxnOp.KV")? {
        return kv_operation(&kv).map(TxnOp::Kv);
    }
    if let Some(op) = fields.object("Node", "api.NodeTxnOp", "NodeTxnOp.Node")? {
        op.refuse_unknown(&["Verb", "Node"])?;
        let node = op.object("Node", "api.Node", "Node.Node.Node")?;
        let (node, cas) = node.as_ref().map_or_else(|| Ok(Default::default()), node_of)?;
        return Ok(TxnOp::Node { verb: verb(&op)?, node, cas });
    }
    if let Some(op) = fields.object("Service", "api.ServiceTxnOp", "ServiceTxnOp.Service")? {
        op.refuse_unknown(&["Verb", "Node", "Service"])?;
        let service = op.object("Service", "api.AgentService", "AgentService.Service.Service")?;
        let cas = service.as_ref().map_or(Ok(0), |service| service.uint("ModifyIndex"))?;
        let service = Box::new(wire::service(op.get("Service"))?);
        return Ok(TxnOp::Service { verb: verb(&op)?, node: op.text("Node")?.to_owned(), service, cas });
    }
    if let Some(op) = fields.object("Check", "api.CheckTxnOp", "CheckTxnOp.Check")? {
        op.refuse_unknown(&["Verb", "Check"])?;
        let check = op.object("Check", "api.HealthCheck", "HealthCheck.Check.Check")?;
        let cas = check.as_ref().map_or(Ok(0), |check| check.uint("ModifyIndex"))?;
        let check = Box::new(wire::check(op.get("Check"))?);
        return Ok(TxnOp::Check { verb: verb(&op)?, check, cas });
    }
    if let Some(op) = fields.object("Session", "api.SessionTxnOp", "SessionTxnOp.Session")? {
        op.refuse_unknown(&["Verb", "Session"])?;
        let session = op.object("Session", "api.Session", "Session.Session.Session")?;
        let id = session.as_ref().map_or(Ok(""), |session| session.text("ID"))?.to_owned();
        return Ok(TxnOp::Session { verb: op.text("Verb")?.to_owned(), id });
    }
    Ok(TxnOp::Nothing)
}

fn kv_operation(fields: &Fields<'_>) -> Result<KvOp, String> {
    fields.refuse_unknown(&["Verb", "Key", "Value", "Flags", "Index", "Session", "Namespace", "Partition"])?;
    let verb = match fields.text("Verb")? {
        "set" => KvVerb::Set,
        "cas" => KvVerb::Cas,
        "lock" => KvVerb::Lock,
        "unlock" => KvVerb::Unlock,
        "delete" => KvVerb::Delete,
        "delete-tree" => KvVerb::DeleteTree,
        "delete-cas" => KvVerb::DeleteCas,
        "get" => KvVerb::Get,
        "get-tree" => KvVerb::GetTree,
        "check-index" => KvVerb::CheckIndex,
        "check-session" => KvVerb::CheckSession,
        "check-not-exists" => KvVerb::CheckNotExists,
        other => KvVerb::Unknown(other.to_owned()),
    };
    let value = match fields.get("Value") {
        None => Blob::default(),
        Some(Value::String(text)) => bytes(text)?,
        Some(other) => return Err(fields.wrong("Value", other, "[]uint8")),
    };
    Ok(KvOp {
        verb,
        key: fields.text("Key")?.to_owned(),
        value,
        flags: fields.uint("Flags")?,
        index: fields.uint("Index")?,
        session: fields.text("Session")?.to_owned(),
    })
}

/// Base64 as Go reads it: line breaks do not count.
fn bytes(text: &str) -> Result<Blob, String> {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let decoded = STANDARD.decode(&text).map_err(|why| {
        let at = match why {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len(),
        };
        format!("illegal base64 data at input byte {at}")
    })?;
    Ok(Blob::from(decoded.as_slice()))
}

fn verb(fields: &Fields<'_>) -> Result<CatalogVerb, String> {
    Ok(match fields.text("Verb")? {
        "get" => CatalogVerb::Get,
        "set" => CatalogVerb::Set,
        "cas" => CatalogVerb::Cas,
        "delete" => CatalogVerb::Delete,
        "delete-cas" => CatalogVerb::DeleteCas,
        other => CatalogVerb::Unknown(other.to_owned()),
    })
}

/// The node, and the index that a comparison is about.
fn node_of(fields: &Fields<'_>) -> Result<(Node, u64), String> {
    fields.refuse_unknown(&[
        "ID",
        "Node",
        "Address",
        "Datacenter",
        "TaggedAddresses",
        "Meta",
        "CreateIndex",
        "ModifyIndex",
        "Partition",
        "PeerName",
    ])?;
    let text = |name| fields.text(name).map(str::to_owned);
    let node = Node {
        id: text("ID")?,
        node: text("Node")?,
        address: text("Address")?,
        datacenter: text("Datacenter")?,
        tagged_addresses: fields.text_map("TaggedAddresses")?,
        meta: fields.text_map("Meta")?,
    };
    Ok((node, fields.uint("ModifyIndex")?))
}

/// What the sender may not do. Keys it may not read are left out of the answer instead.
fn denied(ops: &[TxnOp], server: &ServerState, authorizer: &Authorizer) -> Vec<TxnError> {
    let allowed = |op: &TxnOp| {
        let right = if op.reads() { Right::Read } else { Right::Write };
        match op {
            TxnOp::Nothing => true,
            TxnOp::Kv(op) => match op.verb {
                KvVerb::Get | KvVerb::GetTree | KvVerb::Unknown(_) => true,
                KvVerb::DeleteTree => authorizer.may(Resource::Key, &op.key, Right::WritePrefix),
                _ => authorizer.may(Resource::Key, &op.key, right),
            },
            TxnOp::Node { node, .. } => authorizer.may(Resource::Node, &node.node, right),
            TxnOp::Service { service, .. } => authorizer.may(Resource::Service, &service.service, right),
            TxnOp::Check { check, .. } => {
                let check = &check.check;
                let state = server.store.state();
                match state.service(&check.node, &check.service_id) {
                    Some(service) => authorizer.may(Resource::Service, &service.service, right),
                    None => authorizer.may(Resource::Node, &check.node, right),
                }
            }
            TxnOp::Session { id, .. } => {
                let state = server.store.state();
                state.session(id).is_none_or(|session| authorizer.may(Resource::Session, &session.node, right))
            }
        }
    };
    let denied = ops.iter().enumerate().filter(|(_, op)| !allowed(op));
    denied.map(|(op, _)| TxnError { op, what: Error::PermissionDenied.to_string() }).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorShape<'a> {
    op_index: usize,
    what: &'a str,
}

fn answer(
    outcome: &Result<Vec<TxnResult>, Vec<TxnError>>,
    reads: bool,
    authorizer: &Authorizer,
) -> Result<Response, Error> {
    let failed = |error: serde_json::Error| Error::Refused(format!("encoding the answer: {error}"));
    let mut out = b"{\"Results\":".to_vec();
    let status = match outcome {
        Ok(results) => {
            write_results(&mut out, results, authorizer).map_err(failed)?;
            out.extend(b",\"Errors\":null");
            StatusCode::OK
        }
        Err(errors) => {
            let errors: Vec<_> = errors.iter().map(|e| ErrorShape { op_index: e.op, what: &e.what }).collect();
            out.extend(b"null,\"Errors\":");
            serde_json::to_writer(&mut out, &errors).map_err(failed)?;
            StatusCode::CONFLICT
        }
    };
    if reads {
        out.extend(b",\"Index\":0,\"LastContact\":0,\"KnownLeader\":true,\"ConsistencyLevel\":\"\"");
    }
    out.push(b'}');
    let mut response = (status, out).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if reads {
        headers.insert(response::KNOWN_LEADER, HeaderValue::from_static("true"));
        headers.insert(response::LAST_CONTACT, HeaderValue::from_static("0"));
    }
    Ok(response)
}

fn write_results(out: &mut Vec<u8>, results: &[TxnResult], authorizer: &Authorizer) -> serde_json::Result<()> {
    let readable = results.iter().filter(|result| match result {
        TxnResult::Kv { entry, .. } => authorizer.may(Resource::Key, &entry.key, Right::Read),
        TxnResult::Node(node) => authorizer.may(Resource::Node, &node.node, Right::Read),
        TxnResult::Service(service) => authorizer.may(Resource::Service, &service.service, Right::Read),
        TxnResult::Check(fact) if fact.check.service_name.is_empty() => {
            authorizer.may(Resource::Node, &fact.check.node, Right::Read)
        }
        TxnResult::Check(fact) => authorizer.may(Resource::Service, &fact.check.service_name, Right::Read),
    });
    out.push(b'[');
    for (at, result) in readable.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match result {
            TxnResult::Kv { entry, with_value } => {
                out.extend(b"{\"KV\":");
                write_entry(out, entry, *with_value);
            }
            TxnResult::Node(node) => {
                out.extend(b"{\"Node\":");
                serde_json::to_writer(&mut *out, &NodeShape::from(node))?;
            }
            TxnResult::Service(service) => {
                out.extend(b"{\"Service\":");
                serde_json::to_writer(&mut *out, &ServiceShape::from(service).with_null_for_no_tags())?;
            }
            TxnResult::Check(check) => {
                out.extend(b"{\"Check\":");
                serde_json::to_writer(&mut *out, &CheckShape::from(check).with_null_for_no_tags())?;
            }
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}
