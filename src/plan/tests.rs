use rstest::rstest;

use super::*;
use crate::config::schema;

const SMALLEST: &str =
    "version: 1\nserver: { listen: [\"127.0.0.1:3001\"] }\nupstreams: { api: { addresses: [\"127.0.0.1:3002\"] } }\n";

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("3005".to_owned()),
        "TOKEN" => Some("0123456789abcdef".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Plan, ConfigError> {
    parse(text, Path::new("config.yaml"), &env)
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn the_smallest_file_passes_everything_on() {
    let plan = read(SMALLEST).unwrap();
    let names: Vec<_> = plan.filters.route.list().iter().map(|route| route.name().to_owned()).collect();
    assert_eq!(names, ["livez", "readyz", "everything"]);
    assert_eq!(plan.pool(&plan.filters.route.list()[2]).unwrap().name(), "api");
    assert!(plan.pool(&plan.filters.route.list()[0]).is_none());
}

#[test]
fn the_reference_is_valid_without_a_variable_set() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.yaml")).unwrap();
    let plan = parse(&text, Path::new("config.yaml"), &|_: &str| None).unwrap();
    assert!(plan.warnings.iter().any(|warning| warning.contains("no client has a key")), "no key works by default");
}

#[test]
fn an_upstream_whose_variable_is_not_set_is_left_out() {
    let text = SMALLEST.replace("} }", "}, spare: { addresses: [\"${SPARE:-}\"] } }")
        + "routes: [{ name: r, paths: [/], upstream: api, fallback: spare }]\n";
    let (plan, set) = (read(&text).unwrap(), read(&text.replace("SPARE:-", "SPARE:-localhost:80")).unwrap());
    let fallback = |plan: &Plan| plan.file.routes.as_ref().unwrap()[0].fallback.clone();
    assert_eq!((plan.pools.len(), fallback(&plan)), (1, None));
    assert_eq!((set.pools.len(), fallback(&set).as_deref()), (2, Some("spare")));
    assert!(set.pools.iter().all(|pool| pool.health().1 > 0), "names are resolved, also outside of a runtime");
    let text = text.replace("upstream: api", "upstream: spare").replace(", fallback: spare", "");
    assert!(error(&text).contains("there is no upstream `spare`"), "{}", error(&text));
}

#[test]
fn variables_and_secrets() {
    let text = SMALLEST.replace("3001", "${PORT}") + "admin: { token: \"${TOKEN}\" }\n";
    let plan = read(&text).unwrap();
    assert_eq!(plan.file.server.listen, ["127.0.0.1:3005"]);
    assert_eq!(plan.admin_token.unwrap().reveal(), "0123456789abcdef");
    let shown = serde_saphyr::to_string(&plan.file).unwrap();
    assert!(shown.contains("***") && !shown.contains("0123456789abcdef"), "{shown}");
}

#[test]
fn secrets_out_of_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "abcdefghijklmnop\n").unwrap();
    let text = format!("{SMALLEST}admin: {{ token_file: token }}\n");
    let plan = parse(&text, &folder.path().join("config.yaml"), &env).unwrap();
    assert_eq!(plan.admin_token.unwrap().reveal(), "abcdefghijklmnop");
}

#[test]
fn what_is_printed_reads_back() {
    let plan = read(SMALLEST).unwrap();
    let again = read(&serde_saphyr::to_string(&plan.file).unwrap()).unwrap();
    assert_eq!((plan.file, plan.hash), (again.file, again.hash));
}

#[rstest]
#[case("version: 2", "config.yaml:1:10: version 2 is not known")]
#[case("versoin: 1", "config.yaml:1:1: unknown key `versoin`; did you mean `version`?")]
fn the_version_counts(#[case] line: &str, #[case] message: &str) {
    let found = error(&SMALLEST.replace("version: 1", line));
    assert!(found.starts_with(message), "{found}");
}

#[rstest]
#[case("limits:\n  keepalive: 60\n", "config.yaml:5:14: invalid type: integer `60`, expected a duration with its unit")]
#[case("limits:\n  keepalive: 60x\n", "config.yaml:5:14: `x` is not a unit of time")]
#[case("limits:\n  head: 16KB\n", "config.yaml:5:9: `KB` is not a unit of size")]
#[case("limits:\n  keepaliv: 60s\n", "config.yaml:5:3: unknown key `keepaliv`; did you mean `keepalive`?")]
#[case("limits:\n  uri: 1GiB\n", "config.yaml:5:8: must be from 256B to 1MiB")]
#[case("limits:\n  head_time: 0s\n", "config.yaml:5:14: must be more than zero")]
#[case("log: { level: \"${MISSING}\" }\n", "config.yaml:4:15: the variable MISSING is not set")]
#[case("log: { level: \"nonsense=loud\" }\n", "config.yaml:4:15: is not a log filter")]
#[case("admin:\n  token: short\n", "config.yaml:5:10: a token needs at least 16 characters")]
#[case("admin:\n  token_file: missing\n", "config.yaml:5:15: missing can't be read")]
#[case("clients:\n  web:\n    keys: [abc]\n", "config.yaml:5:3: client `web`: a key is `sha256:`")]
#[case("routes:\n  - name: a\n    paths: [x]\n", "config.yaml:5:5: route `a`: `x` is not a path")]
#[case("routes:\n  - name: a\n    paths: [/]\n    upstream: b\n", "config.yaml:7:15: there is no upstream `b`")]
#[case(
    "routes:\n  - name: a\n    paths: [/]\n    timeout: 100ms\n",
    "config.yaml:7:14: shorter than `connect_time` of `api`"
)]
#[case(
    "routes:\n  - name: a\n    paths: [/]\n    auth: apikey\n",
    "config.yaml:7:11: unknown value `apikey`; did you mean `api_key`?"
)]
#[case("routes:\n  - paths: [/]\n", "config.yaml:5:5: missing field `name`")]
#[case(
    "routes:\n  - name: a\n    paths: [/]\n    cache: { lifetimes: { default: { 200: 5 } } }\n",
    "config.yaml:7:43: invalid type: integer `5`, expected a duration"
)]
fn mistakes_have_a_place_and_a_sentence(#[case] more: &str, #[case] message: &str) {
    let found = error(&format!("{SMALLEST}{more}"));
    assert!(found.starts_with(message), "{found}");
}

#[test]
fn an_upstream_needs_time() {
    for setting in ["connect_time: 0ms", "health: { interval: 0s, timeout: 0s }", "health: { timeout: 0s }"] {
        let found = error(&SMALLEST.replace("} }", &format!(", {setting} }} }}")));
        assert!(found.contains("must be more than zero"), "{setting}: {found}");
    }
}

#[test]
fn several_problems_are_told_at_once() {
    let found = read("version: 3\nserver: { listen: [nowhere] }\nupstreams: {}\n").unwrap_err();
    assert_eq!(found.problems.len(), 3, "{found}");
}

#[test]
fn what_needs_a_restart_is_said_at_a_reload() {
    let schema = schema();
    let schema = schema.as_value();
    let needs = |part: &serde_json::Value| {
        part["description"].as_str().is_some_and(|text| text.replace('\n', " ").contains("Needs a restart"))
    };
    let mut documented = Vec::new();
    for (name, part) in schema["properties"].as_object().unwrap() {
        let kind = part["$ref"].as_str().unwrap_or_default().trim_start_matches("#/$defs/");
        let members = schema["$defs"][kind]["properties"].as_object().into_iter().flatten();
        match needs(part) {
            true => documented.push(name.clone()),
            false => {
                documented.extend(members.filter(|(_, part)| needs(part)).map(|(member, _)| format!("{name}.{member}")))
            }
        }
    }
    documented.sort();
    let told = schema["x-reload"].as_str().unwrap();
    assert!(documented.iter().all(|name| told.contains(&format!("`{name}`"))), "{documented:?} {told}");
    let others =
        "admin: { listen: \"127.0.0.1:9\" }\ncache: { memory: 1MiB }\ninvalidation: { poll: 60ms }\nredis: { urls: [] }
limits: { bodies: 300MiB }\nrate_limit: { accounts: 2000 }\nwarm: { keys: 5 }\nlog: { level: warn }\n";
    let changed = read(&(SMALLEST.replace("3001", "3009") + others)).unwrap();
    let mut said = changed.restart_needed(&read(SMALLEST).unwrap().file);
    said.sort_unstable();
    assert_eq!(said, documented);
}

#[test]
fn what_is_left_out_of_redis_own_breaker_is_not_the_general_one() {
    let plan = read(&(SMALLEST.to_owned() + "redis: { breaker: { open: 2s } }\n")).unwrap();
    let breaker = plan.file.redis.unwrap().breaker;
    assert_eq!((breaker.window, breaker.open.0.as_secs(), breaker.open_max.0.as_secs()), (20, 2, 5));
    assert!(
        error(&(SMALLEST.to_owned() + "redis: { urls: [\"redis://a\"], breaker: { mode: observe } }\n"))
            .contains("can't be `observe`")
    );
    assert!(error(&(SMALLEST.to_owned() + "redis: { breaker: { opn: 2s } }\n")).contains("opn"));
}

#[test]
fn every_mistake_of_a_file_is_told() {
    let text = "version: 2
servr: {}
server: { listen: [\"nowhere\"], threads: many }
limits: { head_time: 5, hedd: 1KiB, connections: 0 }
upstreams:
  api: { addresses: [\"${UNSET}\"], connect_time: soon }
  other: { addresses: [\"127.0.0.1:3002\"], health: { fall: 0 } }
routes:
  - { name: a, paths: [no-slash], upstream: api }
  - { name: b, paths: [/b], upstream: nobody, timout: 1s }
  - { name: c, paths: [/c], upstream: other, cache: { methods: [PUT] } }
  - { paths: [/d], upstream: other }
  - { name: e, paths: [/e], upstream: nobody }
log: { level: \"a=b=c\", access: perhaps }
";
    let found = error(text);
    let lines: Vec<u64> = found.lines().map(|line| line.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(lines, [1, 2, 3, 3, 4, 4, 4, 6, 6, 7, 9, 10, 10, 11, 12, 13, 14, 14], "{found}");
    assert!(lines.is_sorted(), "in the order of the file");
}

#[rstest]
#[case::a_list_for_a_mapping("server: []\n", "4:9")]
#[case::what_is_missing_is_told_once("admin: { listen: 5 }\n", "4:18")]
#[case::nothing_below("limits: { bodies: }\nlog: { level: }\n", "4:")]
fn the_rest_is_read_all_the_same(#[case] line: &str, #[case] first: &str) {
    let found = error(&format!("{}{line}cors: {{ origin: [x] }}\n", SMALLEST.replace("server: {", "servers: {")));
    assert!(found.contains(&format!("config.yaml:{first}")) && found.contains("`origin`"), "{found}");
    assert!(found.contains("servers"), "{found}");
}
