//! The scenarios of tests/traffic/ in their full form: `make load SCENARIO=name`, `all` for each in turn; without a name
//! they are listed. Exits with 1 where a bar is missed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../../tests/traffic/lib.rs"]
mod traffic;

use std::process::ExitCode;

use traffic::{ALL, Scale};

#[tokio::main]
async fn main() -> ExitCode {
    // cargo adds `--bench`.
    let names: Vec<String> = std::env::args().skip(1).filter(|name| name != "--bench").collect();
    if names.is_empty() {
        println!("make load SCENARIO=name, or all:");
        for scenario in ALL {
            println!("  {:<20} {}", scenario.name, scenario.what);
        }
        return ExitCode::SUCCESS;
    }
    let wanted = |name: &str| names.iter().any(|wanted| wanted == name || wanted == "all");
    if let Some(unknown) = names.iter().find(|name| *name != "all" && !ALL.iter().any(|known| known.name == **name)) {
        eprintln!("load: there is no scenario `{unknown}`; `make load` lists them");
        return ExitCode::from(64);
    }
    let mut missed = Vec::new();
    for scenario in ALL.iter().filter(|scenario| wanted(scenario.name)) {
        println!("{}: {}", scenario.name, scenario.what);
        let report = (scenario.run)(Scale::Full).await;
        println!("{report}");
        if !report.met() {
            missed.push(scenario.name);
        }
    }
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("load: bars were missed in {}", missed.join(", "));
    ExitCode::FAILURE
}
