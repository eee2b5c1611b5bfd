//! The keyring that the kernel has for a user (user-keyring(7)): named bytes in unswappable memory of
//! the kernel, which outlive the process and are gone after a restart of the machine. Must not know
//! what the bytes are.
//!
//! A process may use a key that it possesses: one that can be reached from a keyring of its own
//! (keyrings(7), "Possession"). Whether the session keyring leads to that of the user depends on who
//! started the process: `pam_keyinit(8)` links them, systemd's `KeyringMode=private` does not. So each
//! use first links the keyring of the user to that of the thread, and keys are for possessors alone.
//! That keeps out other users and processes that have not asked for it, not other processes of the
//! user: whoever is the user can do the same.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use linux_keyutils::{
    Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission,
};
use zeroize::Zeroizing;

/// The most that one key holds (keyrings(7), key type "user").
pub const LARGEST: usize = 32_767;

/// Why the kernel keeps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// This process may not use keyrings: a filter of system calls, as those of containers and of
    /// services are, or a kernel without them.
    #[error(
        "this process may not use the keyrings of the kernel: add_key(2) and keyctl(2) have to be \
         allowed, in a systemd unit by SystemCallFilter=@keyring, in a container by its seccomp \
         profile"
    )]
    Refused,
    /// There is no room: of what one user may keep (`/proc/sys/kernel/keys/maxbytes`), or in one key.
    #[error(
        "there is no room left in the keyring of the user (keyrings(7), \
         /proc/sys/kernel/keys/maxbytes)"
    )]
    NoRoom,
    /// Anything else.
    #[error("the keyring of the kernel fails: {0:?}")]
    Failed(KeyError),
}

impl From<KeyError> for KeyringError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::PermissionDenied => Self::Refused,
            KeyError::Unknown(errno) if errno == NOSYS => Self::Refused,
            KeyError::QuotaExceeded => Self::NoRoom,
            error => Self::Failed(error),
        }
    }
}

/// The keys of the user whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
    /// Where the kernel lists keys.
    list: &'static str,
}

impl Keys {
    /// Those whose names begin with `prefix`, which ends in `:` and holds no white space.
    pub fn new(prefix: String) -> Self {
        Self { prefix, list: "/proc/keys" }
    }

    /// The same where the list is hidden.
    #[cfg(test)]
    pub(crate) fn unlisted(self) -> Self {
        Self { list: "/dev/null", ..self }
    }

    /// Whether this process may use keyrings at all.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn check(&self) -> Result<(), KeyringError> {
        ring()?;
        // A filter may let only some of the calls through, so all are tried, where nobody sees it.
        let of_thread = KeyRing::from_special_id(KeyRingIdentifier::Thread, true)?;
        Ok(of_thread.add_key(&self.prefix, b"-")?.invalidate()?)
    }

    /// Keeps `bytes` as `name` for `lifetime`, in the place of what was kept so; the kernel counts
    /// whole seconds by the clock of the machine (`keyctl_set_timeout(3)`).
    ///
    /// # Errors
    /// See [`KeyringError`]. Then nothing is kept by this name, not even what was.
    pub fn put(&self, name: &str, bytes: &[u8], lifetime: Duration) -> Result<(), KeyringError> {
        let put = || -> Result<(), KeyringError> {
            let key = ring()?.add_key(&self.description(name), bytes)?;
            let finished = Self::finish(key, lifetime);
            if finished.is_err() {
                let _ = key.invalidate();
            }
            Ok(finished?)
        };
        let done = if bytes.len() > LARGEST { Err(KeyringError::NoRoom) } else { put() };
        if done.is_err() {
            let _ = self.remove(name);
        }
        done
    }

    fn finish(key: Key, lifetime: Duration) -> Result<(), KeyError> {
        let of_possessor = Permission::VIEW
            | Permission::READ
            | Permission::WRITE
            | Permission::SEARCH
            | Permission::SETATTR;
        let permissions = KeyPermissionsBuilder::builder()
            .posessor(of_possessor)
            // That it is there, its owner may know: `/proc/keys` shows it.
            .user(Permission::VIEW)
            .build();
        key.set_perms(permissions)?;
        // Zero would mean for ever.
        let seconds = lifetime.as_secs().clamp(1, u64::from(u32::MAX));
        key.set_timeout(usize::try_from(seconds).unwrap_or(usize::MAX))
    }

    /// What is kept by this name; `None` if nothing is, or it is over.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringError> {
        let Some(key) = self.find(name)? else { return Ok(None) };
        let mut bytes = Zeroizing::new(vec![0; LARGEST]);
        let length = match key.read(&mut *bytes) {
            Ok(length) => length,
            Err(error) if is_gone(error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Cut, if it was longer than a key can be.
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// Forgets what is kept by this name.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn remove(&self, name: &str) -> Result<(), KeyringError> {
        let Some(key) = self.find(name)? else { return Ok(()) };
        match key.invalidate() {
            Err(error) if !is_gone(error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The names by which anything is kept, as far as the machine tells: container runtimes hide the
    /// list from what they run. No keyring is used for it.
    ///
    /// # Errors
    /// If `/proc/keys` cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let text = match fs::read(self.list) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        Ok(names_in(&String::from_utf8_lossy(&text), &self.prefix))
    }

    fn find(&self, name: &str) -> Result<Option<Key>, KeyringError> {
        match ring()?.search(&self.description(name)) {
            Ok(key) => Ok(Some(key)),
            Err(error) if is_gone(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn description(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// The keyring of the user, which this thread now possesses.
fn ring() -> Result<KeyRing, KeyringError> {
    let of_thread = KeyRing::from_special_id(KeyRingIdentifier::Thread, true)?;
    of_thread.link_keyring_id(KeyRingIdentifier::User)?;
    Ok(KeyRing::from_special_id(KeyRingIdentifier::User, true)?)
}

/// Whether the key is over, or was never there.
fn is_gone(error: KeyError) -> bool {
    matches!(error, KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked)
}

/// The names of keys of the type "user" that begin with `prefix`, in what `/proc/keys` tells
/// (keyrings(7)): eight fields, and the description with the size of the payload.
fn names_in(text: &str, prefix: &str) -> Vec<String> {
    let name = |line: &str| {
        let (fields, rest) = line.split_once(&format!(" {prefix}"))?;
        let mut fields = fields.split_whitespace();
        // One that is no key any more is still shown for a moment.
        let flags = fields.nth(1)?;
        let is_user = fields.nth(5)? == "user" && fields.next().is_none();
        let (name, _size) = rest.rsplit_once(": ")?;
        (is_user && !flags.contains(['R', 'i'])).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// `ENOSYS`, which the crate has no name for.
const NOSYS: i32 = rustix::io::Errno::NOSYS.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of this test alone; `None`, said loudly, where there are no keyrings.
    #[expect(clippy::print_stderr, reason = "that nothing was tested has to be said")]
    fn keys(test: &str) -> Option<Keys> {
        let keys = Keys::new(format!("credmount-test:{}:{test}:", std::process::id()));
        match keys.get("none") {
            Err(KeyringError::Refused) => {
                eprintln!("SKIPPED: this process may not use keyrings");
                None
            }
            found => {
                assert_eq!(found, Ok(None));
                Some(keys)
            }
        }
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn what_is_put_is_found_replaced_and_removed() {
        let Some(keys) = keys("life") else { return };
        for bytes in [&b"one"[..], &[7; LARGEST / 8]] {
            keys.put("a name: with 1", bytes, HOUR).unwrap();
            let found = keys.get("a name: with 1").unwrap().unwrap();
            assert_eq!(*found, bytes);
        }
        assert_eq!(keys.names().unwrap(), ["a name: with 1"]);
        keys.remove("a name: with 1").unwrap();
        keys.remove("a name: with 1").unwrap();
        assert_eq!(keys.get("a name: with 1"), Ok(None));
        assert_eq!(keys.names().unwrap(), [""; 0]);
    }

    #[test]
    fn another_thread_finds_it() {
        let Some(keys) = keys("others") else { return };
        keys.put("n", b"kept", HOUR).unwrap();
        let found = std::thread::scope(|scope| scope.spawn(|| keys.get("n")).join().unwrap());
        assert_eq!(found.unwrap().unwrap().as_slice(), b"kept");
        keys.remove("n").unwrap();
    }

    #[test]
    fn what_does_not_fit_is_told_and_takes_along_what_was_kept() {
        let Some(keys) = keys("size") else { return };
        keys.put("n", b"old", HOUR).unwrap();
        assert_eq!(keys.put("n", &vec![0; LARGEST + 1], HOUR), Err(KeyringError::NoRoom));
        assert_eq!(keys.get("n"), Ok(None), "what is no longer true is not kept");
    }

    #[test]
    fn the_kernel_forgets_by_itself_what_has_ended() {
        let Some(keys) = keys("end") else { return };
        keys.put("n", b"short", Duration::ZERO).unwrap();
        let begun = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
        while keys.get("n").unwrap().is_some() {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
            assert!(now < begun + 10, "it does not end");
            std::thread::yield_now();
        }
        keys.put("n", b"again", HOUR).unwrap();
        assert!(keys.get("n").unwrap().is_some());
        keys.remove("n").unwrap();
    }

    #[test]
    fn names_are_those_of_living_keys_of_ours() {
        let text = "\
            045caf46 I--Q---     2 perm 1f3f0000     0 65534 keyring   _uid.0: empty\n\
            1b2c3d4e I--Q---     1  59m 2f010000  1000  1000 user      c:1:login:a b: c: 123\n\
            2b2c3d4e I--Q--i     1  59m 2f010000  1000  1000 user      c:1:gone: 123\n\
            3b2c3d4e IR-Q---     1  59m 2f010000  1000  1000 user      c:1:revoked: 123\n\
            4b2c3d4e I--Q---     1  59m 2f010000  1000  1000 user      c:2:other: 123\n\
            5b2c3d4e I--Q---     1  59m 2f010000  1000  1000 user      x c:1:within: 123\n\
            6b2c3d4e I--Q---     1  59m 2f010000  1000  1000 logon     c:1:secret: 123\n\
            c:1:short: 5\n";
        assert_eq!(names_in(text, "c:1:"), ["login:a b: c"]);
    }
}
