//! TLS between the address service and its database: a terminator in front of the real one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::CertifiedKey;
use support::{Database, Process, program, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// `SSLRequest` (PostgreSQL's protocol, section 54.7).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A terminator for `localhost` in front of `database`; its port, its certificate, and how many sessions it had.
async fn terminator(database: String) -> (u16, String, Arc<AtomicUsize>) {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = versions.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (port, sessions) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&sessions);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (acceptor, database, seen) = (acceptor.clone(), database.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut request = [0; 8];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(request, SSL_REQUEST, "nothing is said before TLS");
                stream.write_all(b"S").await.unwrap();
                let Ok(mut secret) = acceptor.accept(stream).await else { return };
                seen.fetch_add(1, Ordering::SeqCst);
                let mut server = TcpStream::connect(database).await.unwrap();
                let _over = copy_bidirectional(&mut secret, &mut server).await;
            });
        }
    });
    (port, cert.pem(), sessions)
}

async fn migrate(url: &str, authorities: Option<&std::path::Path>) -> Output {
    let mut command = Command::new(program("address-service"));
    command.arg("migrate").env("DATABASE_URL", url).env_remove("DATABASE_CA_FILE");
    if let Some(file) = authorities {
        command.arg("--database-ca-file").arg(file);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_database_is_asked_over_tls_where_the_url_says_so_and_its_certificate_is_verified() {
    let database = Database::copy().await;
    let plain: tokio_postgres::Config = database.url().parse().unwrap();
    let (port, certificate, sessions) = terminator(format!("127.0.0.1:{}", plain.get_ports()[0])).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificate).unwrap();
    let (front, back) = database.url().split_once('@').map(|(f, b)| (f.to_owned(), b.to_owned())).unwrap();
    let name = back.split_once('/').unwrap().1.to_owned();
    let url = |host: &str| format!("{front}@{host}:{port}/{name}?sslmode=require");

    let done = migrate(&url("localhost"), Some(&file)).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(sessions.load(Ordering::SeqCst) >= 1);
    for (host, authorities, why) in [("localhost", None, "certificate"), ("127.0.0.1", Some(&*file), "certificate")] {
        let refused = migrate(&url(host), authorities).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{host}: {said}");
    }
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let refused = migrate(&url("localhost"), Some(&folder.path().join("empty.pem"))).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no certificate in"));

    let mut command = Command::new(program("address-service"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-ca-file"]).arg(&file);
    command.env("DATABASE_URL", url("localhost"));
    let mut service = Process::start("address-service", command);
    let line = service.line("it listens", |line| line["message"] == "listening").await;
    let client = support::Client::new(&format!("http://{}", line["address"].as_str().unwrap()), "");
    until("the database answers over TLS", || client.reaches("/api/v1/health/ready")).await;
    assert_eq!(client.get("/api/v1/addresses/search?q=5+firebrace+street+horsham").await.status, 200);
    assert!(service.stop().await.success());
    service.assert_clean(&["/api/v1/health/ready"]);
}
