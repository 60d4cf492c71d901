//! The blob host: writing through a signed url, reading with ranges, and Azure's headers and errors.

use axum::body::Bytes;
use axum::http::StatusCode;

use super::content::Content;
use super::exchange::{Call, Reply, azure_error, empty, reply, set};
use super::grants::{Permission, Refusal};
use super::log::Route;
use super::state::State;

const VERSION: &str = "2025-11-05";

pub(super) fn answer(state: &mut State, route: Route, call: &Call) -> Reply {
    let mut reply = try_answer(state, route, call).unwrap_or_else(|refusal| refusal);
    set(&mut reply, "x-ms-request-id", &state.next_request_id());
    set(&mut reply, "x-ms-version", call.header("x-ms-version").unwrap_or(VERSION));
    set(&mut reply, "server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0");
    if let Some(id) = call.header("x-ms-client-request-id") {
        set(&mut reply, "x-ms-client-request-id", id);
    }
    reply
}

fn try_answer(state: &mut State, route: Route, call: &Call) -> Result<Reply, Reply> {
    let writes = matches!(route, Route::PutBlob | Route::PutBlock | Route::PutBlockList);
    if call.has_authorization() {
        let message = "A signed url and an Authorization header exclude each other.";
        return Err(azure_error(StatusCode::BAD_REQUEST, "InvalidAuthenticationInfo", message));
    }
    let wanted = if writes { Permission::Write } else { Permission::Read };
    state.grants.check(call, wanted, state.gets_per_url).map_err(refusal)?;
    let ignores_ranges = state.ignores_ranges;
    let entry = call.id().and_then(|id| state.entry_mut(id)).ok_or_else(not_found)?;
    if writes {
        return write(&mut entry.blob, route, call);
    }
    let reply = read(&entry.blob, route, call, ignores_ranges)?;
    if route != Route::HeadBlob {
        state.grants.count_get(call);
    }
    Ok(reply)
}

fn refusal(refusal: Refusal) -> Reply {
    let (code, message) = match refusal {
        Refusal::Unsigned => ("AuthenticationFailed", "Signature did not match."),
        Refusal::WrongPermission => ("AuthorizationPermissionMismatch", "This url does not permit this operation."),
        Refusal::Expired => ("AuthenticationFailed", "Signed expiry time has to be after the current time."),
    };
    azure_error(StatusCode::FORBIDDEN, code, message)
}

fn not_found() -> Reply {
    azure_error(StatusCode::NOT_FOUND, "BlobNotFound", "The specified blob does not exist.")
}

fn write(blob: &mut Content, route: Route, call: &Call) -> Result<Reply, Reply> {
    let bad = |code: &str| azure_error(StatusCode::BAD_REQUEST, code, "The request is not valid.");
    if call.header("x-ms-version").is_none() {
        return Err(bad("MissingRequiredHeader"));
    }
    if call.header("content-length").is_none() {
        let message = "Content-Length is required.";
        return Err(azure_error(StatusCode::LENGTH_REQUIRED, "MissingContentLengthHeader", message));
    }
    match route {
        Route::PutBlob if call.header("x-ms-blob-type") != Some("BlockBlob") => {
            return Err(bad("MissingRequiredHeader"));
        }
        Route::PutBlob => blob.put(call.body.clone()),
        Route::PutBlock if call.body.is_empty() => return Err(bad("InvalidHeaderValue")),
        Route::PutBlock => {
            let id = call.parameter("blockid").ok_or_else(|| bad("MissingRequiredQueryParameter"))?;
            blob.put_block(&id, call.body.clone()).map_err(bad)?;
        }
        _ => blob.put_block_list(&String::from_utf8_lossy(&call.body)).map_err(bad)?,
    }
    let mut reply = empty(StatusCode::CREATED);
    set(&mut reply, "x-ms-request-server-encrypted", "true");
    if route != Route::PutBlock {
        set(&mut reply, "etag", &blob.etag());
        set(&mut reply, "last-modified", &blob.last_modified());
    }
    Ok(reply)
}

fn read(blob: &Content, route: Route, call: &Call, ignores_ranges: bool) -> Result<Reply, Reply> {
    let content = blob.content().ok_or_else(not_found)?;
    let etag = blob.etag();
    if call.header("if-match").is_some_and(|wanted| wanted != "*" && wanted != etag) {
        let message = "The condition specified using HTTP conditional header(s) is not met.";
        return Err(azure_error(StatusCode::PRECONDITION_FAILED, "ConditionNotMet", message));
    }
    let range = call.header("x-ms-range").or_else(|| call.header("range")).filter(|_| !ignores_ranges);
    let mut reply = match range {
        // Azure has no ranges for HEAD either.
        Some(range) if route != Route::HeadBlob => ranged(&content, range)?,
        _ => reply(StatusCode::OK, "application/octet-stream", content),
    };
    if route == Route::HeadBlob {
        let length = reply.body().len().to_string();
        *reply.body_mut() = Bytes::new();
        set(&mut reply, "content-length", &length);
    }
    set(&mut reply, "accept-ranges", "bytes");
    set(&mut reply, "etag", &etag);
    set(&mut reply, "last-modified", &blob.last_modified());
    set(&mut reply, "x-ms-blob-type", "BlockBlob");
    set(&mut reply, "x-ms-server-encrypted", "true");
    Ok(reply)
}

fn ranged(content: &Bytes, range: &str) -> Result<Reply, Reply> {
    let length = content.len();
    let (first, last) = parse_range(range).ok_or_else(|| {
        azure_error(StatusCode::BAD_REQUEST, "InvalidHeaderValue", "The range is not one that Azure takes.")
    })?;
    if first >= length {
        let mut past =
            azure_error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "The range is past the end of the blob.");
        set(&mut past, "content-range", &format!("bytes */{length}"));
        return Err(past);
    }
    let last = last.unwrap_or(usize::MAX).min(length - 1);
    let mut part = reply(StatusCode::PARTIAL_CONTENT, "application/octet-stream", content.slice(first..=last));
    set(&mut part, "content-range", &format!("bytes {first}-{last}/{length}"));
    Ok(part)
}

/// `bytes=a-b` and `bytes=a-`; Azure knows no ranges from the end.
fn parse_range(range: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    if last.is_empty() {
        return Some((first, None));
    }
    let last: usize = last.parse().ok()?;
    (last >= first).then_some((first, Some(last)))
}
