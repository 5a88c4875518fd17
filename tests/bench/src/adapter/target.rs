//! A server to read from, and the one connection to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use api_types::job_type;
use e2e::cluster::Cluster;
use e2e::sample::{ACME_NAMESPACE, JOB_TYPE};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use kube::api::ListParams;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::local::Processes;

/// As the autoscaler's request arrives at an aggregated server.
const HEADERS: [(&str, &str); 6] = [
    ("accept", "application/vnd.kubernetes.protobuf, */*"),
    ("x-remote-user", "system:serviceaccount:kube-system:horizontal-pod-autoscaler"),
    ("x-remote-group", "system:serviceaccounts"),
    ("x-remote-group", "system:serviceaccounts:kube-system"),
    ("x-remote-group", "system:authenticated"),
    ("x-remote-extra-authentication.kubernetes.io%2fcredential-id", "JTI=bench"),
];

/// Who reads.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn read(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("reading the front proxy's certificate {}", certificate.display()))?;
        let key = PrivateKeyDer::from_pem_file(key)
            .with_context(|| format!("reading the front proxy's key {}", key.display()))?;
        Ok(Self { chain, key })
    }
}

/// A server.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) processes: Processes,
    address: SocketAddr,
    server_name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    uri: String,
}

impl Target {
    /// One pod of whatever serves external metrics in the cluster.
    pub(crate) async fn deployed(cluster: &Cluster, identity: &Identity) -> anyhow::Result<Self> {
        let services: Api<APIService> = Api::all(cluster.client.clone());
        let registered = services.get("v1beta1.external.metrics.k8s.io").await?.spec.unwrap_or_default();
        let service = registered.service.context("the External Metrics API is not served by a Service")?;
        let (namespace, name) =
            (service.namespace.unwrap_or_default(), service.name.context("the Service has no name")?);
        let slices: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), &namespace);
        let selector = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
        let slice = slices.list(&selector).await?.items.into_iter().next().context("no endpoints")?;
        // The Service has the admin port too; the API's is the one named https.
        let ports = slice.ports.unwrap_or_default();
        let port = ports.iter().find(|port| port.name.as_deref() == Some("https")).and_then(|port| port.port);
        let endpoint = slice.endpoints.into_iter().next().context("the adapter has no pod")?;
        let address = endpoint.addresses.first().context("the adapter's pod has no address")?;
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &namespace);
        let pod = pods.get(&endpoint.target_ref.and_then(|target| target.name).unwrap_or_default()).await?;
        let image = pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image).unwrap_or_default();
        let port = u16::try_from(port.context("the adapter's Service has no port https")?)?;
        let authority = registered.ca_bundle.context("the APIService has no caBundle")?.0;
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{ACME_NAMESPACE}/wf_job_lag_seconds?labelSelector=job_type%3D{}",
            job_type::encode(JOB_TYPE)?
        );
        let host = format!("{name}.{namespace}.svc");
        Ok(Self {
            name: image.rsplit('/').next().unwrap_or_default().to_owned(),
            processes: Processes::of_pods(&pod.metadata.uid.into_iter().collect::<Vec<_>>()),
            address: SocketAddr::new(address.parse()?, port),
            tls: client_config(&authority, Some(identity))?,
            uri: format!("https://{host}{path}"),
            server_name: ServerName::try_from(host)?,
        })
    }

    /// A server on loopback with a certificate for `localhost`.
    pub(crate) fn on_loopback(
        name: &str,
        port: u16,
        authority: &str,
        processes: Processes,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            processes,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: client_config(authority.as_bytes(), None)?,
            uri: "https://localhost/".to_owned(),
            server_name: ServerName::try_from("localhost")?,
        })
    }

    /// Opens a connection.
    pub(crate) async fn reader(&self) -> anyhow::Result<Reader> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("connecting to {} at {}", self.name, self.address))?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(self.server_name.clone(), stream).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // Ends with the last reader.
        tokio::spawn(connection);
        let mut request = Request::get(&self.uri);
        for (name, value) in HEADERS {
            request = request.header(name, value);
        }
        Ok(Reader { sender, request: Arc::new(request.body(())?) })
    }
}

fn client_config(authority: &[u8], identity: Option<&Identity>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match identity {
        Some(Identity { chain, key }) => config.with_client_auth_cert(chain.clone(), key.clone_key())?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Reads over one connection.
#[derive(Clone)]
pub(crate) struct Reader {
    sender: SendRequest<Empty<Bytes>>,
    request: Arc<Request<()>>,
}

/// What was read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl Reader {
    pub(crate) async fn read(&mut self) -> anyhow::Result<Answer> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.request.uri().clone();
        *request.headers_mut() = self.request.headers().clone();
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Answer {
            status: parts.status,
            content_type: content_type(&parts.headers),
            body: body.collect().await?.to_bytes(),
        })
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
