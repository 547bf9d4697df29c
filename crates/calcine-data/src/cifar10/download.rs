//! The official archive, fetched once into the cache.

use super::{DataError, Problem};
use crate::cifar::archive;
use crate::cifar::packing::BINARY;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

/// A file to download and how to know that it is the right one.
///
/// The default is the official binary archive of CIFAR-10.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// `http` or `https`.
    pub url: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz".to_owned(),
            bytes: 170_052_171,
            sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd".to_owned(),
        }
    }
}

/// The archive's name in the cache.
const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// Why there is no data set in the cache afterwards.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server cannot be reached or has no such file.
    Unreachable(String),
    /// Everything else.
    Data(DataError),
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

/// Puts `cifar-10-batches-bin` into `cache`.
///
/// The archive grows as `*.part`, is checked, renamed and unpacked. Of several processes one does
/// the work and the others wait for it.
pub(super) fn download(
    agent: &Agent,
    remote: &Remote,
    cache: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Failure> {
    fs::create_dir_all(cache).map_err(DataError::io(cache))?;
    let _turn = take_turn(cache)?;
    if cache.join(BINARY.directory).is_dir() {
        return Ok(());
    }
    let archive = cache.join(ARCHIVE);
    if archive.exists() {
        check(remote, &archive, &archive)?;
    } else {
        fetch(agent, remote, &archive, progress)?;
    }
    Ok(archive::unpack(&archive, cache)?)
}

/// Holds the lock of the cache until it is dropped.
fn take_turn(cache: &Path) -> Result<File, DataError> {
    let path = cache.join(format!("{ARCHIVE}.lock"));
    let file = File::create(&path).map_err(DataError::io(&path))?;
    // Some network file systems have no locks. Go on without: the hash tells whether two
    // processes wrote at once.
    let _ = file.lock();
    Ok(file)
}

/// The client: honours the environment's proxy, gives up on a silent server.
pub(super) fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(Duration::from_secs(15)))
        .timeout_connect(Some(Duration::from_secs(15)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .into()
}

/// Downloads to `archive.part`, going on where an earlier attempt stopped, checks it and renames it
/// to `archive`.
fn fetch(
    agent: &Agent,
    remote: &Remote,
    archive: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Failure> {
    let part = part_of(archive);
    if part_length(&part) != remote.bytes {
        let (start, response) = ask(agent, remote, &part)?;
        receive(remote, &part, start, response, progress)?;
    }
    if let Err(error) = check(remote, &part, Path::new(&remote.url)) {
        // What is wrong must not be resumed; what cannot be read may be right.
        if !matches!(error.problem(), Problem::Io(_)) {
            fs::remove_file(&part).map_err(DataError::io(&part))?;
        }
        return Err(error.into());
    }
    Ok(fs::rename(&part, archive).map_err(DataError::io(archive))?)
}

fn part_of(archive: &Path) -> PathBuf {
    archive.with_added_extension("part")
}

fn part_length(part: &Path) -> u64 {
    fs::metadata(part).map_or(0, |metadata| metadata.len())
}

/// A response whose body is the file from byte `start` on.
fn ask(agent: &Agent, remote: &Remote, part: &Path) -> Result<(u64, Response<Body>), Failure> {
    // A part that is longer than the file is of something else.
    let start = Some(part_length(part))
        .filter(|&length| length < remote.bytes)
        .unwrap_or(0);
    let mut response = request(agent, remote, start)?;
    if 0 < start && continues_at(&response, start) {
        return Ok((start, response));
    }
    let misunderstood = [
        StatusCode::PARTIAL_CONTENT,
        StatusCode::RANGE_NOT_SATISFIABLE,
    ]
    .contains(&response.status());
    if 0 < start && misunderstood {
        response = request(agent, remote, 0)?;
    }
    match response.status() {
        StatusCode::OK => Ok((0, response)),
        status => Err(Failure::Unreachable(format!("the server answers {status}"))),
    }
}

fn request(agent: &Agent, remote: &Remote, start: u64) -> Result<Response<Body>, Failure> {
    // The archive is compressed as it is; no transfer encoding may be undone on the way.
    let mut request = agent
        .get(&remote.url)
        .header(header::ACCEPT_ENCODING, "identity");
    if 0 < start {
        request = request.header(header::RANGE, format!("bytes={start}-"));
    }
    request
        .call()
        .map_err(|error| Failure::Unreachable(error.to_string()))
}

/// Whether the response is the rest of the file from `start` on.
fn continues_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE);
    response.status() == StatusCode::PARTIAL_CONTENT
        && range
            .and_then(|range| range.to_str().ok())
            .is_some_and(|range| range.trim_start().starts_with(&format!("bytes {start}-")))
}

/// Writes the body to `part` from byte `start` on. Never more than the file may have.
fn receive(
    remote: &Remote,
    part: &Path,
    start: u64,
    response: Response<Body>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), DataError> {
    let (url, expected) = (Path::new(&remote.url), remote.bytes);
    let size = |found| DataError::new(url, Problem::Size { found, expected });
    let broken = |have, why| DataError::at(url, have, Problem::Interrupted { expected, why });
    if let Some(rest) = response.body().content_length()
        && start + rest != expected
    {
        return Err(size(start + rest));
    }
    let mut file = open_at(part, start).map_err(DataError::io(part))?;
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut have = start;
    progress(have, expected);
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) if have == expected => return Ok(()),
            Ok(0) => return Err(broken(have, "the server closed the connection".to_owned())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(have, error.to_string())),
        };
        have += read as u64;
        if expected < have {
            return Err(size(have));
        }
        file.write_all(&buffer[..read])
            .map_err(DataError::io(part))?;
        progress(have, expected);
    }
}

/// Opens `part` for appending at byte `start`, without what may follow.
fn open_at(part: &Path, start: u64) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(part)?;
    file.set_len(start)?;
    Ok(file)
}

/// Compares size and hash of `file` with the remote's. An error calls the file `name`.
fn check(remote: &Remote, file: &Path, name: &Path) -> Result<(), DataError> {
    let bytes = fs::read(file).map_err(DataError::io(file))?;
    let (found, expected) = (bytes.len() as u64, remote.bytes);
    if found != expected {
        return Err(DataError::new(name, Problem::Size { found, expected }));
    }
    let (found, expected) = (sha256(&bytes), remote.sha256.clone());
    if found != expected {
        return Err(DataError::new(name, Problem::Hash { found, expected }));
    }
    Ok(())
}

/// SHA-256 in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cifar::archive::tests::official;
    use crate::cifar::{Cifar100Labels, directory};
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    /// How a server behaves.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) enum Manner {
        /// Ranges are honoured.
        Plain,
        /// Ranges are ignored: always 200 and the whole file.
        Rangeless,
        /// Ranges are answered with another range than asked.
        Confused,
        /// The connection closes after this many bytes of the body.
        Hasty(usize),
        /// No length is announced.
        Lengthless,
        /// 404.
        Empty,
    }

    /// A server on this machine, and the `Range` header of each request it got ("" for none).
    pub(in super::super) struct Server {
        pub(in super::super) remote: Remote,
        ranges: Receiver<String>,
    }

    impl Server {
        pub(in super::super) fn serve(file: Vec<u8>, manner: Manner) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let remote = Remote {
                url: format!("http://{}/a.tar.gz", listener.local_addr().unwrap()),
                ..describe(&file)
            };
            let (sender, ranges) = channel();
            thread::spawn(move || {
                for connection in listener.incoming() {
                    let mut connection = connection.unwrap();
                    let range = range_asked(BufReader::new(&connection));
                    let reply = reply(&file, &range, manner);
                    if sender.send(range).is_err() {
                        return;
                    }
                    // The client may have hung up.
                    let _ = connection.write_all(&reply);
                }
            });
            Self { remote, ranges }
        }

        pub(in super::super) fn ranges(&self) -> Vec<String> {
            self.ranges.try_iter().collect()
        }
    }

    fn describe(file: &[u8]) -> Remote {
        Remote {
            url: String::new(),
            bytes: file.len() as u64,
            sha256: sha256(file),
        }
    }

    fn range_asked(request: impl BufRead) -> String {
        request
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                line.to_lowercase()
                    .strip_prefix("range: ")
                    .map(str::to_owned)
            })
            .collect()
    }

    fn reply(file: &[u8], range: &str, manner: Manner) -> Vec<u8> {
        let start = range
            .strip_prefix("bytes=")
            .and_then(|r| r.strip_suffix('-'));
        let start: usize = start.map_or(0, |start| start.parse().unwrap());
        let (status, start) = match manner {
            Manner::Empty => ("404 Not Found", file.len()),
            Manner::Rangeless => ("200 OK", 0),
            Manner::Confused if 0 < start => ("206 Partial Content", start - 1),
            _ if file.len() <= start => ("416 Range Not Satisfiable", file.len()),
            _ if 0 < start => ("206 Partial Content", start),
            _ => ("200 OK", 0),
        };
        let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
        if status.starts_with("206") {
            let (last, all) = (file.len() - 1, file.len());
            head += &format!("Content-Range: bytes {start}-{last}/{all}\r\n");
        }
        if !matches!(manner, Manner::Lengthless) {
            head += &format!("Content-Length: {}\r\n", file.len() - start);
        }
        let end = match manner {
            Manner::Hasty(count) => start + count,
            _ => file.len(),
        };
        [format!("{head}\r\n").as_bytes(), &file[start..end]].concat()
    }

    /// The agent of the real thing, without the proxy that a developer's environment may name.
    pub(in super::super) fn direct() -> Agent {
        Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into()
    }

    /// A cache directory, and a fetch into it.
    struct Cache(tempfile::TempDir);

    impl Cache {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// With the beginning of a file from an earlier attempt.
        fn with_part(bytes: &[u8]) -> Self {
            let cache = Self::new();
            fs::write(cache.part(), bytes).unwrap();
            cache
        }

        fn archive(&self) -> PathBuf {
            self.0.path().join(ARCHIVE)
        }

        fn part(&self) -> PathBuf {
            part_of(&self.archive())
        }

        fn fetch(&self, remote: &Remote) -> Result<(), Failure> {
            fetch(&direct(), remote, &self.archive(), &mut |_, _| {})
        }

        fn data_error(&self, remote: &Remote) -> DataError {
            match self.fetch(remote) {
                Err(Failure::Data(error)) => error,
                other => panic!("expected an error about data, got {other:?}"),
            }
        }
    }

    /// Larger than the buffer, no two stretches alike.
    fn file() -> Vec<u8> {
        (0..200_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect()
    }

    #[test]
    fn a_download_is_checked_renamed_and_reports_its_progress() {
        for manner in [Manner::Plain, Manner::Lengthless] {
            let server = Server::serve(file(), manner);
            let cache = Cache::new();
            let mut reports = Vec::new();
            let mut progress = |have, total| reports.push((have, total));
            fetch(&direct(), &server.remote, &cache.archive(), &mut progress).unwrap();
            assert_eq!(fs::read(cache.archive()).unwrap(), file());
            assert!(!cache.part().exists());
            assert!(reports.is_sorted());
            assert_eq!(reports.first(), Some(&(0, 200_000)));
            assert_eq!(reports.last(), Some(&(200_000, 200_000)));
        }
    }

    #[test]
    fn an_interrupted_download_keeps_what_it_has_and_resumes() {
        let hasty = Server::serve(file(), Manner::Hasty(70_000));
        let cache = Cache::new();
        let error = cache.data_error(&hasty.remote);
        assert!(matches!(
            error.problem(),
            Problem::Interrupted {
                expected: 200_000,
                ..
            }
        ));
        assert_eq!(error.offset(), Some(70_000));
        assert_eq!(fs::read(cache.part()).unwrap(), file()[..70_000]);

        let patient = Server::serve(file(), Manner::Plain);
        cache.fetch(&patient.remote).unwrap();
        assert_eq!(patient.ranges(), ["bytes=70000-"]);
        assert_eq!(fs::read(cache.archive()).unwrap(), file());
    }

    #[test]
    fn a_server_without_ranges_starts_the_file_anew() {
        let server = Server::serve(file(), Manner::Rangeless);
        let cache = Cache::with_part(b"something else");
        cache.fetch(&server.remote).unwrap();
        assert_eq!(server.ranges(), ["bytes=14-"]);
        assert_eq!(fs::read(cache.archive()).unwrap(), file());
    }

    #[test]
    fn a_range_other_than_the_one_asked_for_is_not_taken() {
        let server = Server::serve(file(), Manner::Confused);
        let cache = Cache::with_part(&file()[..100]);
        cache.fetch(&server.remote).unwrap();
        assert_eq!(server.ranges(), ["bytes=100-", ""]);
        assert_eq!(fs::read(cache.archive()).unwrap(), file());
    }

    #[test]
    fn a_complete_part_is_not_asked_for_again() {
        let server = Server::serve(file(), Manner::Plain);
        let cache = Cache::with_part(&file());
        cache.fetch(&server.remote).unwrap();
        assert!(server.ranges().is_empty());
        assert!(cache.archive().exists());
    }

    #[test]
    fn a_wrong_hash_is_an_error_and_is_not_resumed() {
        let mut wrong = file();
        wrong[123_456] ^= 1;
        let server = Server::serve(wrong, Manner::Plain);
        let remote = Remote {
            url: server.remote.url.clone(),
            ..describe(&file())
        };
        let cache = Cache::new();
        let error = cache.data_error(&remote);
        assert!(matches!(error.problem(), Problem::Hash { .. }), "{error}");
        assert!(!cache.part().exists() && !cache.archive().exists());
    }

    #[test]
    fn a_wrong_size_is_an_error_with_and_without_a_length_announced() {
        let part = &file()[..100];
        for manner in [Manner::Plain, Manner::Lengthless] {
            for (bytes, cache) in [(150_000, Cache::new()), (150_000, Cache::with_part(part))] {
                let server = Server::serve(file(), manner);
                let remote = Remote {
                    bytes,
                    ..server.remote
                };
                let error = cache.data_error(&remote);
                assert!(
                    matches!(error.problem(), Problem::Size { .. }),
                    "{manner:?}: {error}"
                );
                assert!(!cache.archive().exists());
            }
        }
    }

    #[test]
    fn a_part_beyond_the_servers_file_is_a_wrong_size() {
        let server = Server::serve(file()[..1000].to_vec(), Manner::Plain);
        let remote = Remote {
            bytes: 200_000,
            ..server.remote.clone()
        };
        let cache = Cache::with_part(&file()[..5000]);
        let error = cache.data_error(&remote);
        assert!(matches!(
            error.problem(),
            Problem::Size {
                found: 1000,
                expected: 200_000,
                ..
            }
        ));
        assert_eq!(server.ranges(), ["bytes=5000-", ""]);
    }

    #[test]
    fn a_part_longer_than_the_file_is_started_anew() {
        let server = Server::serve(file(), Manner::Plain);
        let cache = Cache::with_part(&[7; 200_001]);
        cache.fetch(&server.remote).unwrap();
        assert_eq!(server.ranges(), [""]);
        assert_eq!(fs::read(cache.archive()).unwrap(), file());
    }

    #[test]
    fn a_server_without_the_file_counts_as_unreachable() {
        let server = Server::serve(file(), Manner::Empty);
        match Cache::new().fetch(&server.remote) {
            Err(Failure::Unreachable(why)) => assert_eq!(why, "the server answers 404 Not Found"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_archive_left_packed_by_a_killed_run_is_checked_and_unpacked() {
        let cache = Cache::new();
        let remote = Remote {
            url: "http://127.0.0.1:1/".into(),
            ..describe(&official())
        };
        fs::write(cache.archive(), official()).unwrap();
        download(&direct(), &remote, cache.0.path(), &mut |_, _| {}).unwrap();
        let root = cache.0.path().join(BINARY.directory);
        let (train, test) = directory::read(&BINARY, &root, Cifar100Labels::Fine).unwrap();
        assert_eq!((train.len(), test.len()), (10, 2));

        let cache = Cache::new();
        fs::write(cache.archive(), &official()[1..]).unwrap();
        let failure = download(&direct(), &remote, cache.0.path(), &mut |_, _| {}).unwrap_err();
        assert!(matches!(failure, Failure::Data(_)));
    }
}
