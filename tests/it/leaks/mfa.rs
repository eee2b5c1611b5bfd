//! MFA codes, and what programs print beside them.

use super::*;
use crate::emulator::RoleRules;

const DEVICE: &str = "arn:aws:iam::123456789012:mfa/dev";

#[test]
fn no_mfa_code_is_said_or_written_whoever_gives_it_and_whatever_becomes_of_it() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_role("prod", RoleRules { requires_mfa: true, ..RoleRules::default() });
    let (key, token) = (PLANTED[0].1, PLANTED[1].1);
    fs::create_dir(scene.path("home/.aws")).unwrap();
    fs::create_dir(scene.path("codes")).unwrap();
    let codes = scene.path("codes/next");
    let process = format!("echo {token} >&2; echo {key} $(cat {})", codes.display());
    let role = format!("role_arn = {}\nmfa_serial = {DEVICE}\n", arn("prod"));
    let profiles = [
        format!("[profile person]\n{role}credential_source = Environment\n"),
        format!("[profile program]\n{role}source_profile = keys\nmfa_process = {process}\n"),
        format!(
            "[profile keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            scene.emulator.base_access_key_id(),
            scene.emulator.base_secret_access_key()
        ),
    ];
    fs::write(scene.path("home/.aws/config"), profiles.concat()).unwrap();
    let mut evidence = Evidence::default();
    let mut secrets = Secrets::of(&scene);

    // A program whose code AWS takes, and takes no second time, as another tool might find.
    fs::write(&codes, scene.emulator.mfa_code(DEVICE)).unwrap();
    assert_eq!(evidence.run(&scene, &["check", "-vv", "--role", "program"]), 0);
    assert_eq!(evidence.run(&scene, &["check", "-vv", "--role", "program"]), 1);
    fs::write(&codes, scene.emulator.mfa_code(DEVICE)).unwrap();
    let args = ["-vvv", "--notify", "--role", "person", "--role", "program"];
    let daemon = scene.mount(&args);
    let pid = daemon.pid();
    assert_eq!(evidence.run(&scene, &["status"]), 0);

    // A person whose code is wrong, then right, then used, and one that AWS cannot be asked about.
    let wrong = "918273";
    let give = |evidence: &mut Evidence, code: &str| {
        let mut command = scene.credmount(&["mfa", "person"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        evidence.output(&["mfa", "person"], &output);
        output.status.code()
    };
    assert_eq!(give(&mut evidence, wrong), Some(1));
    assert_eq!(give(&mut evidence, "no code, but hunter2-hunter2"), Some(1));
    let right = scene.emulator.mfa_code(DEVICE);
    scene.emulator.set_fault(Fault::ServerError { status: 503 });
    assert_eq!(give(&mut evidence, &right), Some(1));
    scene.emulator.clear_faults();
    assert_eq!(give(&mut evidence, &right), Some(0));
    assert_eq!(give(&mut evidence, &right), Some(1));
    evidence.run(&scene, &["refresh", daemon.argument()]);

    for command in [&["status"][..], &["status", "--json"]] {
        assert_eq!(evidence.run(&scene, command), 0);
    }
    for file in ["config", "credmount/status.json", "credmount/errors/person"] {
        evidence.add(file, fs::read(daemon.file(file)).unwrap());
    }
    evidence.add("/proc/PID/cmdline", fs::read(format!("/proc/{pid}/cmdline")).unwrap());
    let socket = tree(&scene.path("run"))
        .into_iter()
        .find(|path| fs::metadata(path).unwrap().file_type().is_socket());
    let request =
        format!("{{\"command\":\"mfa\",\"device\":\"{DEVICE}\",\"code\":\"{wrong}x\"}}\n");
    evidence.add("the socket's answer", converse(&socket.unwrap(), request.as_bytes()));
    evidence.files(&scene.path("run"));
    let argument = daemon.argument().to_owned();
    assert_eq!(evidence.run(&scene, &["unmount", &argument]), 0);
    evidence.files(&scene.path("run"));

    for words in ["an MFA code is needed", "AWS did not accept the MFA code", "session received"] {
        evidence.assert_said(words);
    }
    secrets.0.extend(Secrets::of(&scene).0);
    let codes = scene.emulator.mfa_codes().into_iter().chain([wrong.to_owned()]);
    secrets.0.extend(codes.map(|code| ("an MFA code".to_owned(), code)));
    secrets.0.push(("what is no code".to_owned(), "hunter2-hunter2".to_owned()));
    evidence.assert_clean(&secrets);
}
