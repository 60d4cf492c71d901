//! An object store of our own, in memory, for what the real ones do not do on demand: it counts generations as Google's does, forgets
//! conditions, refuses, is slow. It is a twin, and proves nothing about the services that it stands for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What becomes of a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Conditions {
    #[default]
    Known,
    Ignored,
    /// `501`, as of a server that knows them by name only.
    Refused,
    /// `409` for every object that is to be new.
    ConflictOnCreate,
}

#[derive(Debug, Default)]
struct Inner {
    conditions: Conditions,
    /// Before each answer.
    pause: Duration,
    /// Requests to come that are answered `503`.
    failures: usize,
    generation: u64,
    objects: BTreeMap<String, (Bytes, u64)>,
    uploads: HashMap<String, BTreeMap<u32, Bytes>>,
    /// Methods and paths, as they came.
    asked: Vec<String>,
    authorizations: Vec<String>,
}

pub(crate) struct Twin {
    inner: Arc<Mutex<Inner>>,
    address: String,
    _runtime: Runtime,
}

impl Twin {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&inner));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { inner, address, _runtime: runtime }
    }

    pub(crate) fn set(&self, conditions: Conditions) {
        self.inner.lock().unwrap().conditions = conditions;
    }

    pub(crate) fn pause(&self, pause: Duration) {
        self.inner.lock().unwrap().pause = pause;
    }

    pub(crate) fn fail(&self, requests: usize) {
        self.inner.lock().unwrap().failures = requests;
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let inner = self.inner.lock().unwrap();
        inner.objects.iter().map(|(name, (bytes, _))| (name.clone(), bytes.to_vec())).collect()
    }

    /// As somebody does who may do everything.
    pub(crate) fn replace(&self, name: &str, bytes: Vec<u8>) {
        self.inner.lock().unwrap().put(name.to_owned(), bytes.into());
    }

    /// So many more packs of a zone, that other jobs have stored.
    pub(crate) fn fill(&self, zone: &str, count: usize) {
        let mut inner = self.inner.lock().unwrap();
        let bytes = Bytes::from_static(b"pack");
        for at in 0..count {
            inner.put(format!("{zone}/p/{at:064x}"), bytes.clone());
        }
    }

    pub(crate) fn remove(&self, name: &str) {
        self.inner.lock().unwrap().objects.remove(name);
    }

    /// What came since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().asked)
    }

    /// Variables that lead a job here, as to S3.
    pub(crate) fn as_s3(&self) -> [(&'static str, String); 3] {
        let endpoint = format!("http://{}", self.address);
        [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret-of-the-twin".to_owned()),
        ]
    }

    /// The same as to Google Cloud Storage.
    pub(crate) fn as_gcs(&self) -> [(&'static str, String); 2] {
        let endpoint = format!("http://{}", self.address);
        [("GOOGLE_BASE_URL", endpoint), ("GOOGLE_OAUTH_ACCESS_TOKEN", "access-of-the-twin".to_owned())]
    }

    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.inner.lock().unwrap().authorizations.clone()
    }
}

async fn serve(Extract(inner): Extract<Arc<Mutex<Inner>>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let pause = inner.lock().unwrap().pause;
    tokio::time::sleep(pause).await;
    let (status, headers, bytes) = inner.lock().unwrap().answer(&parts.method, &parts.uri, &parts.headers, body);
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(name, value);
    }
    answer.body(Body::from(bytes)).unwrap()
}

type Reply = (StatusCode, Vec<(&'static str, String)>, Bytes);

fn plain(status: StatusCode) -> Reply {
    (status, Vec::new(), Bytes::new())
}

impl Inner {
    fn answer(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Reply {
        let name = percent_encoding::percent_decode_str(uri.path().trim_start_matches('/'))
            .decode_utf8()
            .unwrap()
            .into_owned();
        let query: HashMap<&str, &str> =
            uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        self.asked.push(format!("{method} {name}"));
        self.authorizations.extend(header("authorization"));
        if self.failures > 0 {
            self.failures -= 1;
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        }
        match (method.as_str(), query.get("uploadId")) {
            ("GET" | "HEAD", None) => self.get(&name, header("range").as_deref()),
            ("POST", None) if query.contains_key("uploads") => {
                let id = format!("upload{}", self.uploads.len());
                self.uploads.insert(id.clone(), BTreeMap::new());
                let xml = format!(
                    "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                (StatusCode::OK, Vec::new(), xml.into())
            }
            ("PUT", Some(id)) => {
                let number = query["partNumber"].parse().unwrap();
                self.uploads.get_mut(*id).unwrap().insert(number, body);
                (StatusCode::OK, vec![("etag", format!("\"{number}\""))], Bytes::new())
            }
            ("POST", Some(id)) => {
                let parts = self.uploads.remove(*id).unwrap();
                let bytes: Vec<u8> = parts.into_values().flat_map(|part| part.to_vec()).collect();
                let (_, headers, _) = self.put(name, bytes.into());
                let xml = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
                (StatusCode::OK, headers, xml.into())
            }
            ("PUT", None) => self.put_if(name, &header, body),
            ("DELETE", _) => plain(StatusCode::NO_CONTENT),
            _ => plain(StatusCode::BAD_REQUEST),
        }
    }

    fn put_if(&mut self, name: String, header: &dyn Fn(&str) -> Option<String>, body: Bytes) -> Reply {
        let current = self.objects.get(&name).map(|(_, generation)| *generation);
        let of_s3 = header("if-match").map(|tag| tag.trim_matches('"').parse().ok());
        let new = header("if-none-match").map(|_| Some(0));
        let of_gcs = header("x-goog-if-generation-match").map(|text| text.parse::<u64>().ok());
        let wanted = of_s3.or(new).or(of_gcs).flatten();
        match (self.conditions, wanted) {
            (Conditions::Refused, Some(_)) => plain(StatusCode::NOT_IMPLEMENTED),
            (Conditions::ConflictOnCreate, Some(0)) => plain(StatusCode::CONFLICT),
            (Conditions::Known | Conditions::ConflictOnCreate, Some(wanted)) if wanted != current.unwrap_or(0) => {
                plain(StatusCode::PRECONDITION_FAILED)
            }
            _ => self.put(name, body),
        }
    }

    fn put(&mut self, name: String, body: Bytes) -> Reply {
        self.generation += 1;
        self.objects.insert(name, (body, self.generation));
        (StatusCode::OK, Self::version(self.generation), Bytes::new())
    }

    fn version(generation: u64) -> Vec<(&'static str, String)> {
        vec![("etag", format!("\"{generation}\"")), ("x-goog-generation", generation.to_string())]
    }

    fn get(&self, name: &str, range: Option<&str>) -> Reply {
        let Some((bytes, generation)) = self.objects.get(name) else { return plain(StatusCode::NOT_FOUND) };
        let mut headers = Self::version(*generation);
        headers.push(("last-modified", "Fri, 27 Nov 2026 12:00:00 GMT".to_owned()));
        let Some((from, to)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
            return (StatusCode::OK, headers, bytes.clone());
        };
        let (from, to) = (from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap().min(bytes.len() - 1));
        headers.push(("content-range", format!("bytes {from}-{to}/{}", bytes.len())));
        (StatusCode::PARTIAL_CONTENT, headers, bytes.slice(from..=to))
    }
}
