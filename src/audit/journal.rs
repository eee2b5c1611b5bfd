//! The journal of systemd: one datagram for each record, with the fields of the record as fields
//! of the journal (systemd.io, "Native Journal Protocol").
//!
//! The names are those of the JSON with `CREDMOUNT_` before them. `CREDMOUNT_ROLES` is JSON, and
//! each name and key in it also stands in a field of its own, so that
//! `journalctl CREDMOUNT_ROLE=prod` and `journalctl CREDMOUNT_ACCESS_KEY_ID=…` find every record
//! that has it.
//!
//! journald itself drops what exceeds its rate limit (journald.conf(5), `RateLimitBurst`) and
//! tells the sender nothing of it; `LogRateLimitIntervalSec=0` in the daemon's unit
//! (systemd.exec(5)) turns that off.

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr,
};
use serde_json::Value;

use super::record::Event;
use super::sentence::sentence;
use super::sink::Sink;

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// How many roles of one record get fields of their own: journald drops entries of more than 1024
/// fields (`ENTRY_FIELD_COUNT_MAX` in `journal-importer.h` of systemd).
const ROLES: usize = 256;

/// The journal.
#[derive(Debug)]
pub(super) struct JournalSink {
    /// Not connected: after a restart of journald another socket stands at the path.
    socket: UnixDatagram,
    path: PathBuf,
}

impl JournalSink {
    /// The journal that listens at `path`.
    ///
    /// # Errors
    /// If nobody listens there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        Ok(Self { socket: UnixDatagram::unbound()?, path: path.to_owned() })
    }

    /// Blocks while the journal's queue is full: records are not dropped, opens wait.
    fn send(&self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send_to(entry, &self.path) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::MSGSIZE) => {
                self.send_as_file(entry)
            }
            sent => sent.map(|_| ()),
        }
    }

    /// For what is too large for a datagram: the same bytes in a sealed memory file.
    fn send_as_file(&self, entry: &[u8]) -> io::Result<()> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut memory = std::fs::File::from(memfd_create("credmount-audit", flags)?);
        memory.write_all(entry)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&memory, seals)?;
        let files = [memory.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // The space was made for exactly this.
        control.push(SendAncillaryMessage::ScmRights(&files));
        let address = SocketAddrUnix::new(&self.path)?;
        let nothing = [IoSlice::new(&[])];
        sendmsg_addr(&self.socket, &address, &nothing, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl Sink for JournalSink {
    fn name(&self) -> String {
        "the journal".to_owned()
    }

    fn write(&mut self, events: &[Event], lost: &mut [bool]) -> io::Result<()> {
        let mut result = Ok(());
        for (event, lost) in events.iter().zip(lost) {
            if let Err(error) = entry(event).and_then(|entry| self.send(&entry)) {
                *lost = true;
                result = result.and(Err(error));
            }
        }
        result
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The record as journald takes it.
fn entry(event: &Event) -> io::Result<Vec<u8>> {
    let mut entry = Vec::with_capacity(1024);
    put(&mut entry, "MESSAGE", &sentence(event));
    // syslog(3): 4 is a warning, 6 information.
    put(&mut entry, "PRIORITY", if event.is_failure() { "4" } else { "6" });
    put(&mut entry, "SYSLOG_IDENTIFIER", "credmount");
    put_fields(&mut entry, "", &serde_json::to_value(event)?);
    let roles = match event {
        Event::Open(open) => Some(&open.roles),
        Event::Request(request) => Some(&request.roles),
        _ => None,
    };
    if let Some(roles) = roles {
        put(&mut entry, "CREDMOUNT_ROLES", &serde_json::to_string(roles)?);
        for role in roles.iter().take(ROLES) {
            put(&mut entry, "CREDMOUNT_ROLE", role.name.as_str());
            if let Some(id) = &role.access_key_id {
                put(&mut entry, "CREDMOUNT_ACCESS_KEY_ID", id.as_str());
            }
        }
    }
    Ok(entry)
}

/// The fields of the JSON; those of an object in it have its name before their own.
fn put_fields(entry: &mut Vec<u8>, name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key } else { &format!("{name}_{key}") };
                put_fields(entry, name, value);
            }
        }
        Value::String(text) => put(entry, &field(name), text),
        Value::Number(_) | Value::Bool(_) => put(entry, &field(name), &value.to_string()),
        // The one array, of roles, is put as a whole.
        Value::Array(_) | Value::Null => {}
    }
}

fn field(name: &str) -> String {
    format!("CREDMOUNT_{}", name.to_ascii_uppercase())
}

/// Text with a newline is led by its length, so that it cannot pass for another field.
fn put(entry: &mut Vec<u8>, name: &str, text: &str) {
    entry.extend_from_slice(name.as_bytes());
    if text.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(text.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(text.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::FileExt;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

    use super::super::open::{Decision, RoleRead};
    use super::super::testing::{CONTAINER_ID, all_kinds, assumed, numbered, opened};
    use super::*;

    /// A journal in a directory of its own.
    fn journal() -> (tempfile::TempDir, UnixDatagram, JournalSink) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let sink = JournalSink::open(&path).unwrap();
        (dir, journal, sink)
    }

    /// Reads an entry as journald does.
    fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
            let (line, rest) = (&entry[..end], &entry[end + 1..]);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
                fields.push((text(&line[..equals]), text(&line[equals + 1..])));
                entry = rest;
            } else {
                let (len, rest) = rest.split_first_chunk().unwrap();
                let (value, rest) =
                    rest.split_at(usize::try_from(u64::from_le_bytes(*len)).unwrap());
                fields.push((text(line), text(value)));
                entry = rest.strip_prefix(b"\n").unwrap();
            }
        }
        fields
    }

    fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
        let named = fields.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn an_open_has_a_sentence_and_every_fact_in_a_field_of_its_own() {
        let (_dir, journal, mut sink) = journal();
        let mut open = opened("prod");
        open.roles.push(RoleRead { name: "dev".into(), access_key_id: None, expiration: None });
        let events = [Event::Open(Box::new(open)), Event::AssumeRole(Box::new(assumed()))];
        sink.write(&events, &mut [false; 2]).unwrap();
        let mut buffer = [0; 8192];
        let len = journal.recv(&mut buffer).unwrap();
        let open = fields(&buffer[..len]);
        for (name, expected) in [
            ("PRIORITY", &["6"][..]),
            ("SYSLOG_IDENTIFIER", &["credmount"]),
            ("CREDMOUNT_EVENT", &["open"]),
            ("CREDMOUNT_TIME", &["2026-09-21T14:13:20.000000Z"]),
            ("CREDMOUNT_MOUNT", &["agents"]),
            ("CREDMOUNT_FILE", &["credentials"]),
            ("CREDMOUNT_DECISION", &["allowed"]),
            ("CREDMOUNT_RULE", &["allow[1]"]),
            ("CREDMOUNT_ROLE", &["prod", "dev"]),
            ("CREDMOUNT_ACCESS_KEY_ID", &["ASIAIOSFODNN7EXAMPLE"]),
            (
                "CREDMOUNT_ROLES",
                &[concat!(
                    r#"[{"name":"prod","access_key_id":"ASIAIOSFODNN7EXAMPLE","#,
                    r#""expiration":"2026-09-21T15:13:20Z"},{"name":"dev"}]"#
                )],
            ),
            ("CREDMOUNT_UID", &["1000"]),
            ("CREDMOUNT_TGID", &["4242"]),
            ("CREDMOUNT_EXE", &["/usr/bin/python3.11"]),
            ("CREDMOUNT_CONTAINER_RUNTIME", &["docker"]),
            ("CREDMOUNT_CONTAINER_ID", &[CONTAINER_ID]),
            ("CREDMOUNT_CONTAINER_UNIT", &[]),
            ("CREDMOUNT_LATENCY_US", &["85"]),
        ] {
            assert_eq!(values(&open, name), expected, "{name}");
        }
        assert!(values(&open, "MESSAGE")[0].contains("read credentials of agents"));
        let len = journal.recv(&mut buffer).unwrap();
        let call = fields(&buffer[..len]);
        assert_eq!(values(&call, "CREDMOUNT_ACCESS_KEY_ID"), ["ASIAIOSFODNN7EXAMPLE"]);
    }

    #[test]
    fn a_newline_starts_no_field() {
        let mut open = opened("prod");
        open.decision = Decision::Refused;
        open.reader.comm = Some("x\nCREDMOUNT_DECISION=allowed".into());
        let fields = fields(&entry(&Event::Open(Box::new(open))).unwrap());
        assert_eq!(values(&fields, "CREDMOUNT_DECISION"), ["refused"]);
        assert_eq!(values(&fields, "CREDMOUNT_COMM"), ["x\nCREDMOUNT_DECISION=allowed"]);
        assert_eq!(values(&fields, "PRIORITY"), ["4"]);
    }

    #[test]
    fn names_are_those_that_journald_accepts() {
        for event in all_kinds() {
            for (name, _) in fields(&entry(&event).unwrap()) {
                let legal = |c: char| c.is_ascii_uppercase() || c == '_';
                assert!(name.len() <= 64 && name.chars().all(legal), "{name}");
                assert!(!name.starts_with('_'), "journald drops {name}");
            }
        }
    }

    #[test]
    fn a_record_too_large_for_a_datagram_comes_as_a_sealed_file() {
        let (_dir, journal, mut sink) = journal();
        let mut open = opened("prod");
        let role = open.roles[0].clone();
        open.roles = vec![role; 10_000];
        let event = Event::Open(Box::new(open));
        sink.write(std::slice::from_ref(&event), &mut [false]).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut payload = [0; 16];
        let mut parts = [io::IoSliceMut::new(&mut payload)];
        let message = recvmsg(&journal, &mut parts, &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(message.bytes, 0);
        assert!(!message.flags.contains(ReturnFlags::CTRUNC));
        let files: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => Some(files),
                _ => None,
            })
            .flatten()
            .collect();
        let [file] = <[OwnedFd; 1]>::try_from(files).unwrap();
        assert!(rustix::fs::fcntl_get_seals(&file).unwrap().contains(SealFlags::WRITE));
        let file = std::fs::File::from(file);
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, entry(&event).unwrap());
        let fields = fields(&bytes);
        assert!(fields.len() < 1000, "journald drops an entry of {} fields", fields.len());
        let roles = values(&fields, "CREDMOUNT_ROLES")[0];
        assert_eq!(roles.matches("ASIA").count(), 10_000, "none is left out");
    }

    #[test]
    fn a_journal_that_restarts_is_found_again() {
        let (dir, journal, mut sink) = journal();
        let path = dir.path().join("socket");
        drop(journal);
        std::fs::remove_file(&path).unwrap();
        let mut lost = [false; 2];
        sink.write(&[numbered(1, 0), numbered(1, 1)], &mut lost).unwrap_err();
        assert_eq!(lost, [true; 2]);
        let journal = UnixDatagram::bind(&path).unwrap();
        sink.write(&[numbered(1, 2)], &mut [false]).unwrap();
        assert!(journal.recv(&mut [0; 8192]).unwrap() > 0);
    }

    #[test]
    fn a_machine_without_a_journal_is_told_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        JournalSink::open(&dir.path().join("socket")).unwrap_err();
    }
}
