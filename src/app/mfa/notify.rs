//! Tells the desktop when an MFA code is needed (Desktop Notifications Specification,
//! `org.freedesktop.Notifications`), by the programs that desktops have for that.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Codes;

/// Tells the desktop of each device of `needed` once, when it turns up there after a change, with the
/// command that gives its code. Ends with `changes`.
pub(in crate::app) async fn notify(
    codes: Arc<Codes>,
    mut changes: watch::Receiver<u64>,
    needed: impl Fn() -> BTreeMap<String, String> + Send,
) {
    let mut told = BTreeMap::new();
    loop {
        if codes.notifies() {
            let now = needed();
            for (_, command) in now.iter().filter(|(device, _)| !told.contains_key(*device)) {
                send(command).await;
            }
            told = now;
        }
        if changes.changed().await.is_err() {
            return;
        }
        // Roles behind one device change together.
        sleep(TOGETHER).await;
        changes.mark_unchanged();
    }
}

/// Sends one notification by the first program that can.
async fn send(command: &str) {
    let text = format!("Run: {command}");
    let mut tried = Vec::new();
    for (program, args) in programs(&text) {
        let mut child = Command::new(program);
        child.args(&args).kill_on_drop(true);
        child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match timeout(DEADLINE, child.status()).await {
            Ok(Ok(status)) if status.success() => return,
            Ok(Ok(status)) => tried.push(format!("{program}: {status}")),
            Ok(Err(error)) => tried.push(format!("{program}: {error}")),
            Err(_) => tried.push(format!("{program}: no answer")),
        }
    }
    tracing::warn!("the desktop cannot be told that an MFA code is needed: {}", tried.join("; "));
}

/// The programs that can, with their arguments: of libnotify, of GLib, of systemd.
fn programs(text: &str) -> [(&'static str, Vec<&str>); 3] {
    const NAME: &str = "org.freedesktop.Notifications";
    const PATH: &str = "/org/freedesktop/Notifications";
    [
        ("notify-send", vec!["--app-name=credmount", "--icon=dialog-password", TITLE, text]),
        (
            "gdbus",
            [
                &["call", "--session", "--dest", NAME, "--object-path", PATH][..],
                &["--method", "org.freedesktop.Notifications.Notify"],
                &["credmount", "0", "dialog-password", TITLE, text, "[]", "{}", "-1"],
            ]
            .concat(),
        ),
        (
            "busctl",
            [
                &["--user", "call", NAME, PATH, NAME, "Notify", "susssasa{sv}i"][..],
                &["credmount", "0", "dialog-password", TITLE, text, "0", "0", "-1"],
            ]
            .concat(),
        ),
    ]
}

const TITLE: &str = "AWS needs an MFA code";

/// A desktop answers at once.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long changes are waited for that belong together.
const TOGETHER: Duration = Duration::from_millis(300);
