//! The proxy: every call of the cache service and of its storage goes through it, and some come through as something else.
//!
//! What becomes of a call follows from the run's number and the call's place in the run, so that a run can be had again. Signed
//! urls are written anew so that they lead here; whatever they hold stays as it was signed.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Passes,
    /// The connection ends before the request is read.
    Reset,
    /// The service never hears of it.
    Dropped,
    /// The service does its work, and nobody hears of that.
    LostAnswer,
    /// Milliseconds on the way.
    Delayed(u64),
    /// It is taken, and nothing comes.
    Silent,
    /// As much of the body as this, in thousandths, and then the end.
    Cut(usize),
    /// One bit of the answer's body.
    Flipped,
    /// One bit of what is sent.
    FlippedRequest,
    Refused(u16),
}

const STATUSES: [u16; 13] = [500, 502, 503, 504, 429, 429, 403, 409, 404, 401, 400, 412, 416];

fn fate(number: u64, call: u64) -> (Fate, Rng) {
    let mut rng = Rng::with_seed(number.wrapping_mul(1_000_003).wrapping_add(call));
    // Lines are as different as runs are.
    let share = [5, 20, 40, 80][usize::try_from(number / 4 % 4).unwrap()];
    if rng.u64(..100) >= share {
        return (Fate::Passes, rng);
    }
    let fate = match rng.u8(..10) {
        0 => Fate::Reset,
        1 => Fate::Dropped,
        2 => Fate::LostAnswer,
        3 => Fate::Delayed(rng.u64(..1000)),
        4 => Fate::Silent,
        5 => Fate::Cut(rng.usize(..1000)),
        6 => Fate::Flipped,
        7 => Fate::FlippedRequest,
        _ => Fate::Refused(STATUSES[rng.usize(..STATUSES.len())]),
    };
    (fate, rng)
}

pub(super) struct Proxy {
    /// As a runner gives it.
    pub(super) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    own: String,
    number: u64,
    calls: AtomicU64,
    over: AtomicBool,
    story: Mutex<Vec<(String, Fate)>>,
}

impl Proxy {
    pub(super) fn start(upstream: &str, number: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared {
            upstream,
            own: own.clone(),
            number,
            calls: AtomicU64::new(0),
            over: AtomicBool::new(false),
            story: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&serving);
                // A connection that ends early is what this is for.
                std::thread::spawn(move || shared.serve(stream).is_ok());
            }
        });
        Self { url: format!("http://{own}/"), shared }
    }

    /// How many calls did not simply pass.
    pub(super) fn faults(&self) -> usize {
        self.shared.story.lock().unwrap().iter().filter(|(_, fate)| !matches!(fate, Fate::Passes)).count()
    }

    /// What became of every call, for whoever looks into a run.
    pub(super) fn story(&self) -> String {
        let story = self.shared.story.lock().unwrap();
        story.iter().map(|(call, fate)| format!("{call}: {fate:?}")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the one who waits for the next.
        let _ = TcpStream::connect(&self.shared.own);
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (head, mut rest) = head(&mut stream)?;
        let (fate, mut rng) = fate(self.number, self.calls.fetch_add(1, Ordering::Relaxed));
        let call = head.split(['?', '\r']).next().unwrap_or_default().to_owned();
        self.story.lock().unwrap().push((call, fate));
        if let Fate::Reset = fate {
            return Ok(());
        }
        let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let read = rest.len();
        rest.resize(length, 0);
        stream.read_exact(&mut rest[read.min(length)..])?;
        match fate {
            Fate::Dropped => return Ok(()),
            Fate::Silent => {
                // Until the other side has had enough.
                let _ = stream.read(&mut [0]);
                return Ok(());
            }
            Fate::Refused(status) => return refuse(&mut stream, status, &mut rng),
            Fate::FlippedRequest => flip(&mut rest, &mut rng),
            _ => {}
        }
        let (head, mut body) = self.ask(&head, &rest)?;
        match fate {
            Fate::LostAnswer => return Ok(()),
            Fate::Delayed(millis) => std::thread::sleep(Duration::from_millis(millis)),
            Fate::Flipped => flip(&mut body, &mut rng),
            _ => {}
        }
        let sent = if let Fate::Cut(share) = fate { body.len() * share / 1000 } else { body.len() };
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body[..sent])
    }

    /// What the service says, as it says it but for the way here.
    fn ask(&self, head: &str, body: &[u8]) -> io::Result<(String, Vec<u8>)> {
        let mut upstream = TcpStream::connect(&self.upstream)?;
        upstream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let head: String = lines.flat_map(|line| [line, "\r\n"]).collect();
        let head = head.replace(&self.own, &self.upstream);
        upstream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
        upstream.write_all(body)?;
        let (head, mut body) = self::head(&mut upstream)?;
        upstream.read_to_end(&mut body)?;
        if header(&head, "content-type").is_some_and(|kind| kind.contains("json")) {
            body = String::from_utf8_lossy(&body).replace(&self.upstream, &self.own).into_bytes();
        }
        let lines = head.trim_end().lines().filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with("content-length:") && !line.starts_with("connection:")
        });
        let head: String = lines.flat_map(|line| [line, "\r\n"]).collect();
        Ok((format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()), body))
    }
}

/// Everything up to the empty line, and what came with it of the body.
fn head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1 << 14];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), body));
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend(&buffer[..read]);
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn flip(bytes: &mut [u8], rng: &mut Rng) {
    if !bytes.is_empty() {
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
    }
}

fn refuse(stream: &mut TcpStream, status: u16, rng: &mut Rng) -> io::Result<()> {
    let bodies = [
        "",
        "<html>no</html>",
        r#"{"code":"internal","msg":"no"}"#,
        r#"{"ok":false}"#,
        r#"{"message":"cache write denied: no"}"#,
    ];
    let body = bodies[rng.usize(..bodies.len())];
    let after = if status == 429 { format!("Retry-After: {}\r\n", rng.u8(..40)) } else { String::new() };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} No\r\n{after}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
