//! Something that listens where a cache service should, and never gives an answer that is one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// It is taken, and that is all.
    Silent,
    /// The headers of an answer come, and no byte of its body.
    HeadersOnly,
    /// A byte of an answer each second.
    Drip,
    /// Bytes that are no HTTP, without an end.
    Garbage,
    /// Headers without an end.
    EndlessHeaders,
}

/// Listens until the test's process ends.
pub(crate) struct BadService {
    /// As a runner would give it.
    pub(crate) url: String,
    taken: Arc<AtomicUsize>,
}

impl BadService {
    /// Connections so far.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

pub(crate) fn listen(manner: Manner) -> BadService {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || mistreat(stream, manner));
        }
    });
    BadService { url, taken }
}

/// Ends when the other side does.
fn mistreat(mut stream: TcpStream, manner: Manner) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2000\r\n";
    let second = || std::thread::sleep(Duration::from_secs(1));
    let mut write = |bytes: &[u8]| stream.write_all(bytes).is_ok();
    match manner {
        Manner::Silent => {}
        Manner::HeadersOnly => {
            write(format!("{head}\r\n").as_bytes());
        }
        Manner::Drip => {
            if write(format!("{head}\r\n{{").as_bytes()) {
                while write(b" ") {
                    second();
                }
            }
        }
        Manner::Garbage => while write(&[0x16, 0xff, 0x00, 0x7f, b'\r', 0x80]) {},
        Manner::EndlessHeaders => {
            if write(head.as_bytes()) {
                while write(b"X-More: yes\r\n") {
                    second();
                }
            }
        }
    }
    // The connection stays open for as long as anybody waits.
    let _ = stream.read_to_end(&mut Vec::new());
}
