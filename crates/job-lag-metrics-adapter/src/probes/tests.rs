use std::collections::BTreeMap;

use tokio::sync::watch;

use super::*;
use crate::{
    auth::AuthConfig,
    certs::{certified_key, issue::issue},
};

fn certificate() -> Arc<ServingCertificate> {
    let now = "2026-11-22T12:00:00Z".parse().expect("a timestamp");
    let issued = issue(&["adapter".to_owned()], now).expect("a certificate should be made");
    let certificate = Arc::new(ServingCertificate::default());
    certificate.set(certified_key(issued.chain.as_bytes(), issued.key.as_bytes()).expect("it should load"));
    certificate
}

#[tokio::test]
async fn ready_is_certificate_and_trust_and_not_stopping() {
    let (publish, auth) = watch::channel(None);
    let stopping = CancellationToken::new();
    let (set_other_server, other_server) = watch::channel(None);
    let bare = Probes::new(Arc::default(), auth.clone(), other_server.clone(), stopping.clone());
    assert_eq!(bare.ready(), Err("no serving certificate yet".to_owned()));
    let probes = Probes::new(certificate(), auth, other_server, stopping.clone());
    assert_eq!(
        probes.ready(),
        Err("ConfigMap kube-system/extension-apiserver-authentication is not loaded".to_owned())
    );
    publish.send_replace(Some(Arc::new(AuthConfig::parse(&BTreeMap::new()).expect("empty is readable"))));
    assert_eq!(probes.ready(), Ok(()));
    set_other_server.send_replace(Some("KEDA has it".to_owned()));
    assert_eq!(probes.ready(), Err("KEDA has it".to_owned()));
    set_other_server.send_replace(None);
    assert_eq!(probes.ready(), Ok(()));
    stopping.cancel();
    assert_eq!(probes.ready(), Err("shutting down".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn loop_that_stopped_turning_is_not_live() {
    let (_publish, auth) = watch::channel(None);
    let probes = Probes::new(Arc::default(), auth, watch::channel(None).1, CancellationToken::new());
    assert_eq!(probes.live(), Ok(()));
    probes.beat("sampler");
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(probes.live(), Ok(()));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(probes.live(), Err("sampler has not turned for 62 s".to_owned()));
    probes.beat("sampler");
    assert_eq!(probes.live(), Ok(()));
}
