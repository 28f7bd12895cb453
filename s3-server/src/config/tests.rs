use super::*;

fn given(data: &[&str]) -> FileSettings {
    FileSettings {
        data: Some(data.iter().map(|&d| d.to_owned()).collect()),
        ..Default::default()
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn defaults_fill_every_gap() {
    let settings = Settings::resolve(given(&["/d{1...4}"]), None).unwrap();
    assert_eq!(settings.listen.to_string(), DEFAULT_LISTEN);
    assert_eq!(settings.data.len(), 4);
    assert_eq!(settings.region, "us-east-1");
    assert_eq!(settings.profile, None);
    assert_eq!(settings.log_format, LogFormat::Human);
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let file = file("region = \"eu-1\"\nlisten = \"127.0.0.1:1\"\nprofile = \"2+1\"\n");
    let mut over = given(&["a", "b", "c"]);
    over.listen = Some("127.0.0.1:2".parse().unwrap());
    let settings = Settings::resolve(over, Some(file.path())).unwrap();
    assert_eq!(settings.listen.port(), 2);
    assert_eq!(settings.region, "eu-1");
    assert_eq!(
        settings.profile,
        Some(ProfileSetting { data: 2, parity: 1 })
    );
}

#[test]
fn printed_settings_can_be_read_back() {
    let mut over = given(&["a", "b", "c", "d"]);
    over.profile = Some("2+2".parse().unwrap());
    over.domains = Some(vec!["S3.Example".to_owned()]);
    over.view_dir = Some("/fast/view".into());
    let settings = Settings::resolve(over, None).unwrap();
    assert_eq!(settings.domains, ["s3.example"]);
    let printed = file(&settings.to_toml());
    assert_eq!(
        Settings::resolve(FileSettings::default(), Some(printed.path())).unwrap(),
        settings
    );
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let refused = |over: FileSettings| Settings::resolve(over, None).unwrap_err().to_string();
    assert!(refused(FileSettings::default()).contains("--data"));
    assert!(refused(given(&["a", "a"])).contains("twice"));
    let profile = Some(ProfileSetting { data: 2, parity: 2 });
    assert!(
        refused(FileSettings {
            profile,
            ..given(&["a"])
        })
        .contains("needs 4 disks, 1 given")
    );
    let domains = Some(vec!["http://x".to_owned()]);
    assert!(
        refused(FileSettings {
            domains,
            ..given(&["a"])
        })
        .starts_with("domain")
    );
    let max_requests = Some(0);
    assert!(
        refused(FileSettings {
            max_requests,
            ..given(&["a"])
        })
        .starts_with("max-requests")
    );
}

#[test]
fn an_unknown_name_in_the_file_is_refused() {
    let file = file("regoin = \"x\"\n");
    let err = Settings::resolve(given(&["a"]), Some(file.path())).unwrap_err();
    assert!(err.to_string().contains("regoin"), "{err}");
}

#[test]
fn profiles_are_checked() {
    for bad in ["", "2", "2+", "+2", "0+2", "200+56", "2+2+2", "a+b"] {
        assert!(bad.parse::<ProfileSetting>().is_err(), "{bad}");
    }
    assert_eq!(
        "255+0".parse::<ProfileSetting>().unwrap().to_string(),
        "255+0"
    );
}

#[test]
fn settings_of_tls_come_together_or_not_at_all() {
    let with = |text: &str| {
        let file = file(&format!("data = [\"/d\"]\n{text}"));
        Settings::resolve(FileSettings::default(), Some(file.path())).map_err(|e| e.to_string())
    };
    let pair = "tls_cert = \"c\"\ntls_key = \"k\"\n";
    for (text, wrong) in [
        ("tls_cert = \"c\"", "tls-key"),
        ("tls_key = \"k\"", "tls-cert"),
        ("tls_client_ca = \"a\"", "tls-client-ca"),
        ("tls_client_auth = \"required\"", "tls-client-auth"),
        ("tls_min_version = \"1.3\"", "tls-min-version"),
        ("http_listen = \"127.0.0.1:1\"", "http-listen"),
        (
            &format!("{pair}tls_client_auth = \"optional\""),
            "tls-client-auth",
        ),
    ] {
        let error = with(text).unwrap_err();
        assert!(error.starts_with(&format!("{wrong}: ")), "{error}");
    }
    assert_eq!(with("").unwrap().tls().unwrap(), None);
    let all = "tls_client_ca = \"a\"\ntls_client_auth = \"optional\"\ntls_min_version = \"1.3\"\nhttp_listen = \"127.0.0.1:1\"";
    let settings = with(&format!("{pair}{all}")).unwrap();
    let tls = settings.tls().unwrap().unwrap();
    assert_eq!(
        (tls.client_auth, tls.min_version),
        (ClientAuth::Optional, MinVersion::Tls13)
    );
    let again = file(&settings.to_toml());
    assert_eq!(
        Settings::resolve(FileSettings::default(), Some(again.path())).unwrap(),
        settings
    );
}
