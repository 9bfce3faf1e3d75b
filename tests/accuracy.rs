//! `make accuracy` on a few hundred addresses, held to the same bars.

#[path = "../benches/accuracy/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod accuracy;
#[path = "support/lib.rs"]
mod support;

use support::Stack;

#[tokio::test]
async fn addresses_are_found_as_people_write_them() {
    let stack = Stack::start().await;
    let good = accuracy::measure(&stack.direct.base, 400, 1, "target/accuracy-failures-sample.psv").await.unwrap();
    assert!(good, "a class missed its bar; see the table above and target/accuracy-failures-sample.psv");
    stack.stop().await;
}
