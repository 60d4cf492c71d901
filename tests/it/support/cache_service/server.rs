//! From a request to its answer: what it asks for, whether a fault comes in between, who answers, what the log keeps.

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State as Extract};
use axum::http::{Response, StatusCode};

use super::exchange::{Call, Reply, twirp_error};
use super::faults::Outcome;
use super::log::{Route, Seen};
use super::state::State;
use super::wire::{Cut, Listener};
use super::{Shared, blob, link, rest, twirp, v1};

pub(super) async fn run(listener: Listener, state: Shared) {
    let service = Router::new().fallback(serve).with_state(state).into_make_service_with_connect_info::<Cut>();
    // Ends with the runtime, and has no error of its own.
    let _ = axum::serve(listener, service).await;
}

async fn serve(
    Extract(shared): Extract<Shared>,
    ConnectInfo(connection): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = link::receive(&shared, body).await else {
        // The client went away while it was sending: there is nobody to answer.
        return Outcome::Nothing.send(&shared, &connection).await;
    };
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    let outcome = decide(&mut shared.lock(), &call);
    outcome.send(&shared, &connection).await
}

fn decide(state: &mut State, call: &Call) -> Outcome {
    let route = Route::of(call);
    let key = key(state, route, call);
    let fault = state.faults.take(route);
    let outcome = Outcome::of(fault, || answer(state, route, call));
    if let (Route::GetBlob, Some(entry)) = (route, call.id().and_then(|id| state.entry_mut(id))) {
        entry.used = jiff::Timestamp::now();
    }
    let range = ["range", "x-ms-range", "content-range"].iter().find_map(|name| call.header(name));
    state.log.push(Seen {
        route,
        key,
        range: range.map(str::to_owned),
        if_match: call.header("if-match").map(str::to_owned),
        authorization: call.has_authorization(),
        sent: call.body.len(),
        status: outcome.status(),
    });
    outcome
}

fn key(state: &State, route: Route, call: &Call) -> Option<String> {
    match route {
        Route::Create | Route::Finalize | Route::Lookup | Route::V1Reserve => {
            Some(call.json()?.get("key")?.as_str()?.to_owned())
        }
        Route::V1Lookup => call.parameter("keys")?.split(',').next().map(str::to_owned),
        Route::Unknown => None,
        _ => Some(state.entry(call.id()?)?.key.clone()),
    }
}

fn answer(state: &mut State, route: Route, call: &Call) -> Reply {
    match route {
        Route::Create | Route::Finalize | Route::Lookup => twirp::answer(state, route, call),
        Route::PutBlob | Route::PutBlock | Route::PutBlockList | Route::GetBlob | Route::HeadBlob => {
            blob::answer(state, route, call)
        }
        Route::V1Download => blob::answer(state, route, call),
        Route::RestGet | Route::RestDelete => rest::answer(state, route, call),
        Route::V1Lookup | Route::V1Reserve | Route::V1Chunk | Route::V1Commit => v1::answer(state, route, call),
        Route::Unknown => twirp_error(StatusCode::NOT_FOUND, "bad_route", "no handler for this path"),
    }
}
