//! A server that has one file, and answers each request as the test says: whole, cut, late, by a redirect, or not at all. It is a
//! proxy, too: asked to connect somewhere, it is that place.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    Whole,
    /// Half of it, and the end of the connection.
    Cut,
    /// Half of it, and then nothing more.
    Stalled,
    Status(u16),
    Redirect(&'static str),
}

#[derive(Debug)]
pub(crate) struct ReleaseServer {
    pub(crate) address: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    file: Vec<u8>,
    replies: VecDeque<Reply>,
    /// First lines and headers, as they came.
    requests: Vec<String>,
}

impl ReleaseServer {
    /// Answers with `replies`, and with the whole file after them.
    pub(crate) fn new(file: &[u8], replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Shared { file: file.to_vec(), replies: replies.iter().copied().collect(), requests: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || serve(&stream.unwrap(), &shared));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap().requests.clone()
    }
}

fn serve(mut stream: &TcpStream, shared: &Mutex<Shared>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let mut known = shared.lock().unwrap();
        known.requests.push(head.clone());
        if head.starts_with("CONNECT ") {
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            continue;
        }
        let reply = known.replies.pop_front().unwrap_or(Reply::Whole);
        let file = known.file.clone();
        drop(known);
        let status = match reply {
            Reply::Status(status) => status,
            Reply::Redirect(_) => 302,
            Reply::Whole | Reply::Cut | Reply::Stalled => 200,
        };
        let to = if let Reply::Redirect(to) = reply { format!("Location: {to}\r\n") } else { String::new() };
        let head = format!("HTTP/1.1 {status} So\r\n{to}Content-Length: {}\r\nConnection: close\r\n\r\n", file.len());
        let sent = if matches!(reply, Reply::Whole) { file.len() } else { file.len() / 2 };
        // Whoever has read enough may be gone.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&file[..sent]));
        if matches!(reply, Reply::Stalled) {
            std::thread::sleep(Duration::from_secs(60));
        }
        return;
    }
}
