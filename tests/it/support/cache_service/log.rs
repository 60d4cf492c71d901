//! What the service was asked, as values that a test can compare.

use axum::http::Method;

use super::exchange::Call;

const TWIRP: &str = "/twirp/github.actions.results.api.v1.CacheService/";
pub(super) const V1: &str = "/_apis/artifactcache/";
pub(super) const V1_ARCHIVES: &str = "/_apis/artifactcache/archives/";
pub(super) const BLOBS: &str = "/blob/";
pub(super) const REPOSITORY: &str = "/repos/owner/name";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    Create,
    Finalize,
    Lookup,
    PutBlob,
    PutBlock,
    PutBlockList,
    GetBlob,
    HeadBlob,
    V1Lookup,
    V1Reserve,
    V1Chunk,
    V1Commit,
    V1Download,
    /// The interface for people and programs: what is asked of it, and what is to be removed.
    RestGet,
    RestDelete,
    /// Nothing that the protocol knows; answered 404.
    Unknown,
}

impl Route {
    pub(super) fn of(call: &Call) -> Self {
        let path = call.path.as_str();
        if let Some(method) = path.strip_prefix(TWIRP) {
            return match (&call.method, method) {
                (&Method::POST, "CreateCacheEntry") => Self::Create,
                (&Method::POST, "FinalizeCacheEntryUpload") => Self::Finalize,
                (&Method::POST, "GetCacheEntryDownloadURL") => Self::Lookup,
                _ => Self::Unknown,
            };
        }
        if path.starts_with(BLOBS) {
            return match (&call.method, call.parameter("comp").as_deref()) {
                (&Method::PUT, None) => Self::PutBlob,
                (&Method::PUT, Some("block")) => Self::PutBlock,
                (&Method::PUT, Some("blocklist")) => Self::PutBlockList,
                (&Method::GET, None) => Self::GetBlob,
                (&Method::HEAD, None) => Self::HeadBlob,
                _ => Self::Unknown,
            };
        }
        if path.starts_with(REPOSITORY) {
            return match call.method {
                Method::GET => Self::RestGet,
                Method::DELETE => Self::RestDelete,
                _ => Self::Unknown,
            };
        }
        if path.starts_with(V1_ARCHIVES) && call.method == Method::GET {
            return Self::V1Download;
        }
        let Some(resource) = path.strip_prefix(V1) else {
            return Self::Unknown;
        };
        match (&call.method, resource) {
            (&Method::GET, "cache") => Self::V1Lookup,
            (&Method::POST, "caches") => Self::V1Reserve,
            (&Method::PATCH, item) if item.starts_with("caches/") => Self::V1Chunk,
            (&Method::POST, item) if item.starts_with("caches/") => Self::V1Commit,
            _ => Self::Unknown,
        }
    }
}

/// One request with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) route: Route,
    /// The key that was named, or that the address stands for.
    pub(crate) key: Option<String>,
    /// `Range` of a read, `Content-Range` of a v1 chunk.
    pub(crate) range: Option<String>,
    pub(crate) if_match: Option<String>,
    pub(crate) authorization: bool,
    /// Bytes in the request's body.
    pub(crate) sent: usize,
    /// Nothing when the connection was reset instead.
    pub(crate) status: Option<u16>,
}
