//! GitHub's REST interface as far as it is about caches, pull requests and branches, for one repository.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::exchange::{Call, Reply, empty, json_reply};
use super::log::Route;
use super::state::State;

/// May see, and may see and remove.
pub(crate) const READER: &str = "github-token-that-reads";
pub(crate) const WRITER: &str = "github-token-that-writes";

/// What a listing gives at most, whatever is asked for.
const MOST: usize = 100;

pub(super) fn answer(state: &mut State, route: Route, call: &Call) -> Reply {
    let is = |token: &str| call.header("authorization") == Some(&format!("Bearer {token}"));
    let may = is(WRITER) || is(READER) && route != Route::RestDelete;
    if !may {
        return refusal(StatusCode::FORBIDDEN, "Resource not accessible by integration");
    }
    let resource = call.path.strip_prefix(super::log::REPOSITORY).unwrap_or_default();
    let resource = resource.strip_prefix('/').unwrap_or(resource);
    match (&call.method, resource) {
        (&Method::DELETE, _) => {
            let found = call.id().filter(|id| state.entry(*id).is_some_and(|entry| entry.size.is_some()));
            found.map_or_else(
                || refusal(StatusCode::NOT_FOUND, "Not Found"),
                |id| {
                    state.remove(id);
                    empty(StatusCode::NO_CONTENT)
                },
            )
        }
        (_, "") => json_reply(StatusCode::OK, &json!({ "id": 77, "full_name": "owner/name" })),
        (_, "actions/caches") => caches(state, call),
        (_, "actions/cache/usage") => {
            let sizes: Vec<u64> = state.entries.iter().filter_map(|entry| entry.size).collect();
            let bytes: u64 = sizes.iter().sum::<u64>() + state.other_caches;
            json_reply(
                StatusCode::OK,
                &json!({
                    "full_name": "owner/name",
                    "active_caches_size_in_bytes": bytes,
                    "active_caches_count": sizes.len(),
                }),
            )
        }
        (_, "actions/cache/storage-limit") => json_reply(StatusCode::OK, &json!({ "max_cache_size_gb": 20 })),
        (_, "pulls") if call.parameter("state").as_deref() == Some("open") => {
            let open = state.open_pull_requests.iter().map(|number| json!({ "number": number, "state": "open" }));
            page(&open.collect::<Vec<_>>(), call, |items| json!(items))
        }
        (_, "branches") => {
            page(&state.branches.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(), call, |items| {
                json!(items)
            })
        }
        _ => refusal(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn caches(state: &State, call: &Call) -> Reply {
    let prefix = call.parameter("key").unwrap_or_default();
    let is_ascending = call.parameter("sort").as_deref() == Some("created_at")
        && call.parameter("direction").as_deref() == Some("asc");
    if !is_ascending {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "an order that moves while it is read");
    }
    let mut found: Vec<_> = state.entries.iter().filter(|entry| entry.key.starts_with(&prefix)).collect();
    found.sort_by_key(|entry| entry.created);
    let items: Vec<Value> = found
        .iter()
        .filter_map(|entry| {
            Some(json!({
                "id": entry.id,
                "ref": entry.scope,
                "key": entry.key,
                "version": entry.version,
                "last_accessed_at": entry.used.to_string(),
                "created_at": entry.created.to_string(),
                "size_in_bytes": entry.size?,
            }))
        })
        .collect();
    let total = items.len();
    page(&items, call, |items| json!({ "total_count": total, "actions_caches": items }))
}

fn page(items: &[Value], call: &Call, wrap: impl Fn(&[Value]) -> Value) -> Reply {
    let number = |name: &str, usual: usize| call.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let size = number("per_page", 30).min(MOST);
    let first = (number("page", 1) - 1) * size;
    let page = items.get(first..).unwrap_or_default();
    json_reply(StatusCode::OK, &wrap(&page[..page.len().min(size)]))
}

fn refusal(status: StatusCode, message: &str) -> Reply {
    json_reply(status, &json!({ "message": message, "documentation_url": "https://docs.github.com/rest" }))
}
