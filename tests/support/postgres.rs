//! A PostgreSQL of one test's own, to be killed.

use std::process::Command;

use super::database::administer;
use super::project;

/// A running server or one to be started; gone when the value is.
pub struct Server {
    folder: tempfile::TempDir,
}

impl Server {
    /// Not started yet.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    /// Started, with the smallest part of the sample and `more` files; and its URL.
    pub fn with_acton(more: &[&str]) -> (Self, String) {
        let server = Self::new();
        let url = server.script("start");
        administer(&url, &["migrate"]);
        administer(&url, &[&["import", "data/addresses/gnaf_addresses_acton_act.psv"], more].concat());
        (server, url)
    }

    /// Runs `scripts/postgres.sh`, as people would.
    pub fn script(&self, action: &str) -> String {
        let output = Command::new("bash")
            .arg(project("scripts/postgres.sh"))
            .arg(action)
            .arg(self.folder.path().join("postgres"))
            .env("POSTGRES_OPTIONS", "-c fsync=off")
            .output()
            .unwrap();
        assert!(output.status.success(), "postgres.sh {action}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Sends a signal to the postmaster.
    pub fn signal(&self, signal: &str) {
        let pid = self.script("pid");
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.script("remove");
    }
}
