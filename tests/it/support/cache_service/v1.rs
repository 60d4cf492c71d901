//! The older protocol, which GHES, `act` and the runners of Gitea still speak.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::exchange::{Call, Reply, empty, json_reply};
use super::log::Route;
use super::state::{Entry, State};
use super::token::Token;
use super::twirp::{READ_DENIED, TAKEN, WRITE_DENIED, is_valid_key};

const ACCEPT: &str = "application/json;api-version=6.0-preview.1";

pub(super) fn answer(state: &mut State, route: Route, call: &Call) -> Reply {
    try_answer(state, route, call).unwrap_or_else(|refusal| refusal)
}

fn try_answer(state: &mut State, route: Route, call: &Call) -> Result<Reply, Reply> {
    let token = state.tokens.admit(call.header("authorization"));
    let token = token.ok_or_else(|| refusal(StatusCode::UNAUTHORIZED, "invalid token"))?;
    let accepts = call.header("accept").is_some_and(|accept| accept.replace(' ', "").contains(ACCEPT));
    if !accepts {
        return Err(refusal(StatusCode::BAD_REQUEST, "no api-version in the Accept header"));
    }
    match route {
        Route::V1Lookup => lookup(state, &token, call),
        Route::V1Reserve => reserve(state, &token, call),
        Route::V1Chunk => chunk(entry(state, &token, call)?, call),
        _ => commit(entry(state, &token, call)?, call),
    }
}

fn lookup(state: &mut State, token: &Token, call: &Call) -> Result<Reply, Reply> {
    if token.readable().is_empty() {
        return Err(refusal(StatusCode::FORBIDDEN, READ_DENIED));
    }
    let keys: Vec<String> = call.parameter("keys").unwrap_or_default().split(',').map(str::to_owned).collect();
    let version = call.parameter("version").unwrap_or_default();
    if version.is_empty() || !keys.iter().all(|key| is_valid_key(key)) {
        return Err(refusal(StatusCode::BAD_REQUEST, "invalid keys or version"));
    }
    let Some(entry) = state.find(token, &keys, &version) else {
        return Ok(empty(StatusCode::NO_CONTENT));
    };
    let id = entry.id;
    let mut answer = json!({ "cacheKey": entry.key, "scope": entry.scope, "creationTime": entry.created.to_string() });
    answer["archiveLocation"] = json!(state.sign_archive(id));
    Ok(json_reply(StatusCode::OK, &answer))
}

fn reserve(state: &mut State, token: &Token, call: &Call) -> Result<Reply, Reply> {
    let request = call.json().unwrap_or_default();
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    let (key, version) = (text("key"), text("version"));
    if version.is_empty() || !is_valid_key(key) {
        return Err(refusal(StatusCode::BAD_REQUEST, "invalid key or version"));
    }
    let scope = token.writable().ok_or_else(|| refusal(StatusCode::FORBIDDEN, WRITE_DENIED))?;
    let id = state.reserve(key, version, &scope).ok_or_else(|| refusal(StatusCode::CONFLICT, TAKEN))?;
    Ok(json_reply(StatusCode::CREATED, &json!({ "cacheId": id })))
}

/// The reserved entry that the path names, if this token may write to it.
fn entry<'a>(state: &'a mut State, token: &Token, call: &Call) -> Result<&'a mut Entry, Reply> {
    let missing = || refusal(StatusCode::NOT_FOUND, "no such reservation");
    let entry = call.id().and_then(|id| state.entry_mut(id)).ok_or_else(missing)?;
    if token.writable().as_deref() != Some(&*entry.scope) {
        return Err(refusal(StatusCode::FORBIDDEN, WRITE_DENIED));
    }
    if entry.size.is_some() {
        return Err(refusal(StatusCode::BAD_REQUEST, "the cache is committed already"));
    }
    Ok(entry)
}

fn chunk(entry: &mut Entry, call: &Call) -> Result<Reply, Reply> {
    let range = call.header("content-range").and_then(parse_content_range);
    let (first, last) = range.ok_or_else(|| refusal(StatusCode::BAD_REQUEST, "no usable Content-Range"))?;
    if call.header("content-type") != Some("application/octet-stream") || call.body.len() as u64 != last - first + 1 {
        return Err(refusal(StatusCode::BAD_REQUEST, "the chunk is not what its headers say"));
    }
    entry.blob.put_chunk(first, call.body.clone());
    Ok(empty(StatusCode::NO_CONTENT))
}

fn commit(entry: &mut Entry, call: &Call) -> Result<Reply, Reply> {
    let size = call.json().and_then(|request| request.get("size")?.as_u64());
    let size = size.ok_or_else(|| refusal(StatusCode::BAD_REQUEST, "no size"))?;
    if !entry.blob.commit_chunks(size) {
        return Err(refusal(StatusCode::BAD_REQUEST, "the chunks do not make up this size"));
    }
    entry.size = Some(size);
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `bytes a-b/*`, or with the whole length after the slash.
fn parse_content_range(text: &str) -> Option<(u64, u64)> {
    let (range, _) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (last >= first).then_some((first, last))
}

fn refusal(status: StatusCode, message: &str) -> Reply {
    json_reply(status, &json!({ "message": message }))
}
