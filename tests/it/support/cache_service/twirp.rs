//! The three RPC calls of v2.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::exchange::{Call, Reply, json_reply, twirp_error};
use super::grants::Permission;
use super::log::Route;
use super::state::State;
use super::token::Token;

const KEY_CHARACTERS: usize = 512;
const KEYS_PER_LOOKUP: usize = 10;
pub(super) const WRITE_DENIED: &str = "cache write denied: token has no writable scopes";
pub(super) const READ_DENIED: &str = "cache read denied: token has no readable scopes";
pub(super) const TAKEN: &str = "cache entry with the same key, version, and scope already exists";

pub(super) fn answer(state: &mut State, route: Route, call: &Call) -> Reply {
    try_answer(state, route, call).unwrap_or_else(|refusal| refusal)
}

fn try_answer(state: &mut State, route: Route, call: &Call) -> Result<Reply, Reply> {
    if call.header("content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
        return Err(twirp_error(StatusCode::NOT_FOUND, "bad_route", "unexpected Content-Type"));
    }
    let token = state.tokens.admit(call.header("authorization"));
    let token = token.ok_or_else(|| twirp_error(StatusCode::UNAUTHORIZED, "unauthenticated", "invalid token"))?;
    let request = call
        .json()
        .ok_or_else(|| twirp_error(StatusCode::BAD_REQUEST, "malformed", "the json request could not be decoded"))?;
    let key = checked_key(request.get("key"))?;
    let version = checked_version(&request)?;
    match route {
        Route::Create => create(state, &token, &key, &version),
        Route::Finalize => finalize(state, &token, &key, &version, &request),
        _ => lookup(state, &token, key, &version, &request),
    }
}

fn create(state: &mut State, token: &Token, key: &str, version: &str) -> Result<Reply, Reply> {
    let Some(scope) = token.writable() else {
        return Ok(refused(WRITE_DENIED));
    };
    let conflict = || twirp_error(StatusCode::CONFLICT, "already_exists", TAKEN);
    let id = state.reserve(key, version, &scope).ok_or_else(conflict)?;
    let url = state.sign(id, Permission::Write);
    Ok(json_reply(StatusCode::OK, &json!({ "ok": true, "signed_upload_url": url, "message": "" })))
}

fn finalize(state: &mut State, token: &Token, key: &str, version: &str, request: &Value) -> Result<Reply, Reply> {
    let Some(scope) = token.writable() else {
        return Ok(refused(WRITE_DENIED));
    };
    let size = int64(request.get("size_bytes")).ok_or_else(|| invalid("size_bytes is not a number"))?;
    let missing = || twirp_error(StatusCode::NOT_FOUND, "not_found", "cache entry not found");
    let id = state.in_scope(key, version, &scope).ok_or_else(missing)?.id;
    let Some(length) = state.length(id) else {
        return Ok(refused("cache entry has not been uploaded"));
    };
    if length == 0 || length != size {
        return Ok(refused(&format!("size_bytes is {size}, but {length} bytes were uploaded")));
    }
    // A second time is not an error: the first answer may have been lost.
    state.entry_mut(id).ok_or_else(missing)?.size = Some(size);
    Ok(json_reply(StatusCode::OK, &json!({ "ok": true, "entry_id": id.to_string(), "message": "" })))
}

fn lookup(state: &mut State, token: &Token, key: String, version: &str, request: &Value) -> Result<Reply, Reply> {
    if token.readable().is_empty() {
        return Err(twirp_error(StatusCode::FORBIDDEN, "permission_denied", READ_DENIED));
    }
    let mut keys = vec![key];
    for key in request.get("restore_keys").and_then(Value::as_array).into_iter().flatten() {
        keys.push(checked_key(Some(key))?);
    }
    if keys.len() > KEYS_PER_LOOKUP {
        return Err(invalid("too many keys"));
    }
    let Some((id, matched)) = state.find(token, &keys, version).map(|entry| (entry.id, entry.key.clone())) else {
        return Ok(json_reply(StatusCode::OK, &json!({ "ok": false, "signed_download_url": "", "matched_key": "" })));
    };
    let url = state.sign(id, Permission::Read);
    Ok(json_reply(StatusCode::OK, &json!({ "ok": true, "signed_download_url": url, "matched_key": matched })))
}

fn refused(message: &str) -> Reply {
    json_reply(StatusCode::OK, &json!({ "ok": false, "message": message }))
}

fn invalid(message: &str) -> Reply {
    twirp_error(StatusCode::BAD_REQUEST, "invalid_argument", message)
}

pub(super) fn is_valid_key(key: &str) -> bool {
    !key.is_empty() && key.chars().count() <= KEY_CHARACTERS && !key.contains(',')
}

fn checked_key(key: Option<&Value>) -> Result<String, Reply> {
    let key = key.and_then(Value::as_str).unwrap_or_default();
    if is_valid_key(key) { Ok(key.to_owned()) } else { Err(invalid("key is invalid")) }
}

/// v2 wants the form of a SHA-256.
fn checked_version(request: &Value) -> Result<String, Reply> {
    let version = request.get("version").and_then(Value::as_str).unwrap_or_default();
    let is_digest = version.len() == 64 && version.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_digest { Ok(version.to_owned()) } else { Err(invalid("version is invalid")) }
}

/// 64-bit numbers come as strings from the official client and bare from others.
fn int64(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
