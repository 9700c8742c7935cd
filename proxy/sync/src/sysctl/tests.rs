use std::collections::BTreeMap;

use super::*;

/// Settings in memory, of which some cannot be written.
#[derive(Default)]
struct Memory {
    values: BTreeMap<PathBuf, String>,
    written: Vec<String>,
}

impl Memory {
    fn with(values: &[(Setting, &str)]) -> Self {
        let values =
            values.iter().map(|(setting, value)| (setting.path(), (*value).to_owned())).collect();
        Self { values, written: Vec::new() }
    }
}

impl Store for Memory {
    fn read(&mut self, setting: Setting) -> io::Result<String> {
        let value = self.values.get(&setting.path()).cloned();
        value.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, setting: Setting, value: u64) -> io::Result<()> {
        self.written.push(format!("{} {value}", setting.path().display()));
        Ok(())
    }
}

fn commands(wanted: &[Wanted]) -> Vec<String> {
    wanted.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_those_of_kube_proxy_and_lenient() {
    assert_eq!(
        commands(&conntrack(&Choices::default(), 8)),
        [
            "sysctl -w net.netfilter.nf_conntrack_max=262144",
            "echo 65536 > /sys/module/nf_conntrack/parameters/hashsize",
            "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
            "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=86400",
            "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_close_wait=3600",
        ]
    );
    assert_eq!(
        commands(&forwarding()),
        ["sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv6.conf.all.forwarding=1"]
    );
}

#[test]
fn limit_follows_the_cores_between_its_bounds() {
    let max = |choices: Choices, cores| {
        conntrack(&choices, cores).iter().map(|wanted| wanted.value).next()
    };
    let choices = Choices::default();
    for (cores, expected, why) in [
        (1, 131_072, "the least"),
        (8, 262_144, "so many for each"),
        (64, 1_048_576, "a million is enough"),
    ] {
        assert_eq!(max(choices, cores), Some(expected), "{why}");
    }
    let large = Choices { min: 2_000_000, ..choices };
    assert_eq!(max(large, 1), Some(2_000_000), "what the operator chose is not capped");
    let off = Choices { max_per_core: 0, ..choices };
    assert!(!commands(&conntrack(&off, 8)).iter().any(|command| command.contains("max")));
}

#[test]
fn times_of_zero_and_strictness_leave_settings_alone() {
    let off = Choices {
        max_per_core: 0,
        tcp_be_liberal: false,
        tcp_established: Duration::ZERO,
        tcp_close_wait: Duration::ZERO,
        udp: Duration::from_secs(40),
        ..Choices::default()
    };
    let command = "sysctl -w net.netfilter.nf_conntrack_udp_timeout=40";
    assert_eq!(commands(&conntrack(&off, 8)), [command]);
}

#[test]
fn only_what_does_not_suit_is_set_and_only_where_that_is_allowed() {
    let [max, time] = ["net.netfilter.nf_conntrack_max", "net.a_time"].map(Setting::Sysctl);
    let least = Wanted { setting: max, value: 100, rule: Rule::AtLeast, why: "" };
    let exact = Wanted { setting: time, value: 100, rule: Rule::Exactly, why: "" };
    for (wanted, found, expected) in [
        (least, "99\n", true),
        (least, "100\n", false),
        (least, "200\n", false),
        (least, "no number", true),
        (exact, "200\n", true),
        (exact, "100\n", false),
    ] {
        let mut memory = Memory::with(&[(wanted.setting, found)]);
        check(&wanted, Permission::Report, &mut memory);
        assert_eq!(memory.written, [""; 0], "{found:?}: nothing is touched without leave");
        check(&wanted, Permission::Set, &mut memory);
        let command = format!("{} 100", wanted.setting.path().display());
        let written: &[String] = if expected { &[command] } else { &[] };
        assert_eq!(memory.written, written, "{found:?}");
    }
    // What is not there is not made.
    let mut nothing = Memory::default();
    check(&least, Permission::Set, &mut nothing);
    assert_eq!(nothing.written, [""; 0]);
}

#[test]
fn cores_are_counted_by_ranges() {
    for (list, count) in
        [("0\n", Some(1)), ("0-3\n", Some(4)), ("0-1,4,6-7\n", Some(5)), ("", None), ("3-1", None)]
    {
        assert_eq!(count_cores(list), count, "{list:?}");
    }
}
