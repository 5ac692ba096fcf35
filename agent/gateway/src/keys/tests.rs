//! Keys in a temporary folder: made, kept, replaced, refused.

use super::*;

/// The roles, and operators of these names.
fn users(names: &[&str]) -> Vec<User> {
    User::ROLES.into_iter().chain(names.iter().map(|name| User::Operator((*name).to_owned()))).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn refusal(folder: &Path, replace: &[&str]) -> String {
    let replace: Vec<String> = replace.iter().map(|name| (*name).to_owned()).collect();
    crate::logs::chain(&make(folder, &users(&["anna"]), &replace).unwrap_err())
}

#[test]
fn each_user_gets_a_key_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = make(folder.path(), &users(&["anna"]), &[]).unwrap();
    assert!(first.changed && first.users.len() == 8 && first.users.iter().all(|key| key.done == Done::Made));
    for key in &first.users {
        assert_eq!(mode(&key.seed), 0o600, "{}", key.user);
    }
    assert_eq!(mode(&first.permissions), 0o644);
    assert!(first.text().contains("keys = ") && first.text().contains("try-restart"));
    assert!(are_current(folder.path(), &users(&["anna"])).unwrap());
    assert!(!are_current(folder.path(), &users(&["anna", "ben"])).unwrap());
    let second = make(folder.path(), &users(&["anna", "ben"]), &[]).unwrap();
    assert!(!are_current(folder.path(), &users(&["anna"])).unwrap());
    assert!(second.changed);
    assert_eq!(second.users.iter().filter(|key| key.done == Done::Made).count(), 1, "ben's");
    let second = KeySet { configured: Some(folder.path().to_owned()), ..second };
    let text = second.text();
    assert!(text.contains("reload") && !text.contains("keys = ") && !text.contains("try-restart"), "{text}");
    for (before, after) in first.users.iter().zip(&second.users) {
        assert_eq!((&before.user, &before.public), (&after.user, &after.public));
    }
    let third = make(folder.path(), &users(&["anna", "ben"]), &[]).unwrap();
    assert!(!third.changed && third.users.iter().all(|key| key.done == Done::Kept));
    let fourth = make(folder.path(), &users(&["ben"]), &[]).unwrap();
    assert!(fourth.changed);
    assert_eq!(fourth.left, [folder.path().join("operator-anna.nk")]);
    assert!(!fs::read_to_string(&fourth.permissions).unwrap().contains(&first.users[7].public));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 10, "nine seeds, the permissions, no temporary file");
}

#[test]
fn source_may_write_its_configured_temperatures_only() {
    let folder = tempfile::tempdir().unwrap();
    let boiler = |id: &str, what: &str, source: &str| {
        format!("[[boiler]]\nid = \"{id}\"\nport = \"/dev/{id}\"\n[boiler.{what}]\nsource = \"{source}\"\n")
    };
    let [b1, b2, b3] = [boiler("b1", "room", "hall"), boiler("b2", "outdoor", "hall"), boiler("b3", "room", "attic")];
    let users = |text: &str| crate::config::Config::parse(text, "t.toml").unwrap().users();
    let made = make(folder.path(), &users(&(b1.clone() + &b2 + &b3)), &[]).unwrap();
    assert!(made.text().contains("LoadCredential=") && made.text().contains("daemon-reload"), "{}", made.text());
    assert!(!are_current(folder.path(), &users(&(b1 + &b3 + &boiler("b2", "room", "hall")))).unwrap(), "another kind");
    assert!(folder.path().join("source-hall.nk").is_file());
    let text = fs::read_to_string(folder.path().join(PERMISSIONS)).unwrap();
    let own = text.split("    source-hall: {").nth(1).unwrap();
    let allowed = own.split("publish: { allow: [").nth(1).unwrap().split(']').next().unwrap();
    assert_eq!(
        allowed.split_whitespace().collect::<Vec<_>>(),
        ["\"boiler.b1.room.hall\"", "\"boiler.b2.outdoor.hall\""]
    );
}

#[test]
fn one_key_for_two_users_is_not_current() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &users(&[]), &[]).unwrap();
    fs::copy(folder.path().join("reader.nk"), folder.path().join("inspector.nk")).unwrap();
    let error = are_current(folder.path(), &users(&[])).unwrap_err();
    assert!(
        matches!(&error, KeysError::Same { first, second } if first == "reader" && second == "inspector"),
        "{error}"
    );
}

#[test]
fn replace_makes_a_new_key_for_the_named_user_only() {
    let folder = tempfile::tempdir().unwrap();
    let before = make(folder.path(), &users(&[]), &[]).unwrap();
    let after = make(folder.path(), &users(&[]), &["reader".to_owned()]).unwrap();
    for (before, after) in before.users.iter().zip(&after.users) {
        let is_reader = before.user == "reader";
        assert_eq!(before.public != after.public, is_reader, "{}", before.user);
        assert_eq!(after.done == Done::Replaced, is_reader);
        assert_eq!(mode(&after.seed), 0o600);
    }
}

#[test]
fn reports_contain_no_seed() {
    let folder = tempfile::tempdir().unwrap();
    let report = make(folder.path(), &users(&["anna"]), &[]).unwrap();
    let permissions = fs::read_to_string(&report.permissions).unwrap();
    for key in &report.users {
        let seed = fs::read_to_string(&key.seed).unwrap();
        for text in [report.json(), report.text(), permissions.clone(), format!("{report:?}")] {
            assert!(text.contains(&key.public) && !text.contains(seed.trim()), "{}", key.user);
        }
    }
}

#[test]
fn invalid_seed_is_reported_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &users(&["anna"]), &[]).unwrap();
    let agent = folder.path().join("agent.nk");
    let account = KeyPair::new_account().seed().unwrap();
    for wrong in ["", "not a seed", account.as_str()] {
        fs::write(&agent, wrong).unwrap();
        let text = refusal(folder.path(), &[]);
        assert!(text.contains("agent.nk holds no seed of a user's nkey") && text.contains("--replace agent"), "{text}");
        assert!(wrong.is_empty() || !text.contains(wrong), "{text}");
        assert_eq!(fs::read_to_string(&agent).unwrap(), wrong);
    }
    fs::copy(folder.path().join("reader.nk"), &agent).unwrap();
    assert!(refusal(folder.path(), &[]).starts_with("agent and reader have the same key"));
    let text = refusal(folder.path(), &["anna"]);
    assert!(text.contains("--replace anna: there is no such user") && text.ends_with("operator-anna"), "{text}");
}

#[test]
fn unusable_folder_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let text = refusal(&file.join("keys"), &[]);
    assert!(text.starts_with("make the folder of the keys, ") && text.contains("--out"), "{text}");
}

#[test]
fn users_of_others_conf_are_in_the_account_of_the_roles() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(OTHERS), "{ user: ha, password: \"$2a$11$x\" }\n").unwrap();
    let report = make(folder.path(), &users(&[]), &[]).unwrap();
    let text = fs::read_to_string(&report.permissions).unwrap();
    let (people, rest) = text.split_once("    PLANT: {\n").expect("three accounts");
    let (plant, installer) = rest.split_once("    installer: {\n").expect("three accounts");
    assert!(plant.ends_with("            { user: ha, password: \"$2a$11$x\" }\n        ]\n    }\n"), "{text}");
    assert!(!people.contains("user: ha") && !installer.contains("user: ha"), "{text}");
}

/// Opening a FIFO waits for its writer.
#[test]
fn seed_that_is_a_fifo_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &users(&["anna"]), &[]).unwrap();
    let seed = folder.path().join("agent.nk");
    fs::remove_file(&seed).unwrap();
    regular::fifo(&seed);
    let refused = refusal(folder.path(), &[]);
    assert!(refused.ends_with("agent.nk: not a regular file"), "{refused}");
    assert!(are_current(folder.path(), &users(&["anna"])).is_err());
}
