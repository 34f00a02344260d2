//! A Prometheus on 127.0.0.1 with the project's rules, which scrapes one process each second. A shell holds the
//! other end of a pipe to it: when the pipe ends, however the test ended, Prometheus does too.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::scene::get;

const PATIENCE: Duration = Duration::from_secs(60);
const FETCH: &str = "promtool and prometheus are needed: .ci/setup chart";

pub struct Prometheus {
    shell: Child,
    address: String,
    directory: TempDir,
}

impl Prometheus {
    pub fn start() -> Prometheus {
        let directory = tempfile::tempdir().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let rules = fs::read_to_string(project.join("helm/files/rules.yaml")).unwrap();
        let is_wait = |line: &&str| line.starts_with("        for: ");
        let grace = "        expr: vector(72 * 3600)";
        let ended = "        expr: time() - 7200 - floor((time() - ((day_of_month() - 1) * 86400 \
                     + hour() * 3600 + minute() * 60)) / 60) * 60";
        assert!(rules.contains(grace), "the grace of the rules is another");
        let rules: Vec<&str> = rules
            .lines()
            .filter(|line| !is_wait(line))
            .map(|line| if line == grace { ended } else { line })
            .collect();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("rules.yaml", &rules.join("\n").replace("[2m]", "[5s]"));
        write("targets.json", "[]");
        write(
            "prometheus.yaml",
            "global: { scrape_interval: 1s, evaluation_interval: 1s }\n\
             rule_files: [rules.yaml]\n\
             scrape_configs:\n\
             \x20 - job_name: meterfold\n\
             \x20   file_sd_configs: [{ files: [targets.json], refresh_interval: 1s }]\n",
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let shell = Command::new("sh")
            .args(["-c", "prometheus \"$@\" >log 2>&1 & cat; kill $!", "sh"])
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let prometheus = Prometheus {
            shell,
            address,
            directory,
        };
        prometheus.waits("it is ready", || {
            let is_listening = TcpStream::connect(&prometheus.address).is_ok();
            is_listening && get(&prometheus.address, "/-/ready").0 == 200
        });
        prometheus
    }

    /// From now on this process, as the first pod of a release.
    pub fn scrapes(&self, address: &str) {
        let labels =
            json!({"namespace": "billing", "pod": "meterfold-0", "instance": "meterfold-0"});
        let targets = json!([{"targets": [address], "labels": labels}]);
        // In one piece, since it is read at any time.
        let file = self.directory.path().join("targets.new");
        fs::write(&file, targets.to_string()).unwrap();
        fs::rename(file, self.directory.path().join("targets.json")).unwrap();
    }

    /// Until the process at `address` has been scraped.
    pub fn waits_for_start_of(&self, address: &str) {
        let (_, metrics) = get(address, "/metrics");
        let name = "meterfold_start_timestamp_seconds";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        let started: f64 = line.unwrap().trim().parse().unwrap();
        self.waits("the process is scraped", || {
            let samples = self.samples(name);
            let value = samples
                .first()
                .and_then(|sample| sample["value"][1].as_str());
            value.is_some_and(|value| value.parse() == Ok(started))
        });
    }

    /// Until an alert fires, or does so no longer.
    pub fn waits_for(&self, alert: &str, is_firing: bool) {
        let query = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        let what = format!("{alert} {}", if is_firing { "fires" } else { "is silent" });
        self.waits(&what, || self.samples(&query).is_empty() != is_firing);
    }

    pub fn samples(&self, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (status, body) = get(&self.address, &format!("/api/v1/query?query={encoded}"));
        assert_eq!(status, 200, "{query}: {body}");
        let start = body.find('{').expect("an object");
        let end = body.rfind('}').expect("an object");
        let mut answer: Value = serde_json::from_str(&body[start..=end]).unwrap();
        match answer["data"]["result"].take() {
            Value::Array(samples) => samples,
            other => panic!("{query}: {other}"),
        }
    }

    pub fn waits(&self, what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(!log.contains("not found"), "{FETCH}\n{log}");
            assert!(began.elapsed() < PATIENCE, "not in time: {what}\n{log}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// What promtool has to say against a scrape.
pub fn check_metrics(metrics: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(FETCH);
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(metrics.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
