//! Waits until something becomes true, and reports why it did not.

use std::fmt::{Debug, Display, Write as _};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(test)]
mod tests;

const INTERVAL: Duration = Duration::from_millis(100);

/// The result of one look: `Some` and `Ok` mean that it is there, `None` and `Err` that it is not there yet.
pub trait Attempt {
    /// What is waited for.
    type Found;
    /// What was found, or why it is not there.
    fn found(self) -> Result<Self::Found, String>;
}

impl<T> Attempt for Option<T> {
    type Found = T;
    fn found(self) -> Result<T, String> {
        self.ok_or_else(|| "it is not there".to_owned())
    }
}

impl<T, E: Display> Attempt for Result<T, E> {
    type Found = T;
    fn found(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Tries again and again until it is there.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # let lag = async || Ok::<u32, String>(7);
/// use std::time::Duration;
/// use test_support::wait::eventually;
///
/// let lag = eventually("the lag falls below 10", Duration::from_secs(5), async || {
///     let lag = lag().await?;
///     if lag < 10 { Ok(lag) } else { Err(format!("it is {lag}")) }
/// })
/// .await;
/// assert_eq!(lag, 7);
/// # });
/// ```
///
/// # Panics
/// After `timeout`, with `what` and the reason of the last attempt.
pub async fn eventually<L: Attempt, F: Future<Output = L>>(
    what: &str,
    timeout: Duration,
    mut attempt: impl FnMut() -> F,
) -> L::Found {
    let attempt = || {
        let attempt = attempt();
        async { attempt.await.found() }
    };
    match try_until(timeout, attempt).await {
        Ok(found) => found,
        Err(why) => panic!("waited {timeout:?} in vain until {what}: {why}"),
    }
}

/// How long to wait for an object, and what else to show on a timeout. A [`Duration`] can be given instead.
#[derive(Clone, Debug)]
pub struct Patience {
    timeout: Duration,
    logs_of: Option<String>,
}

impl Patience {
    /// Shows the logs of the pods with these labels (a label selector) in the object's namespace too.
    #[must_use]
    pub fn with_logs_of(mut self, selector: &str) -> Self {
        self.logs_of = Some(selector.to_owned());
        self
    }
}

impl From<Duration> for Patience {
    fn from(timeout: Duration) -> Self {
        Self { timeout, logs_of: None }
    }
}

/// Waits until the object is there and `condition` holds (`what` says it in words: `"is ready"`), and returns it.
///
/// # Panics
/// On a timeout: with the object as YAML, its events, and logs if [`Patience`] asks for them.
pub async fn await_condition<K>(
    api: &Api<K>,
    name: &str,
    patience: impl Into<Patience>,
    what: &str,
    condition: impl Fn(&K) -> bool,
) -> K
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let patience = patience.into();
    let condition = &condition;
    let attempt = || async move {
        let object = api.get_opt(name).await.map_err(|error| error.to_string())?;
        object.filter(|object| condition(object)).ok_or_else(String::new)
    };
    match try_until(patience.timeout, attempt).await {
        Ok(object) => object,
        Err(why) => fail(api, name, &patience, what, &why).await,
    }
}

/// Waits until the object is gone.
///
/// # Panics
/// On a timeout: as [`await_condition`]; the YAML shows the remaining finalizers.
pub async fn await_gone<K>(api: &Api<K>, name: &str, patience: impl Into<Patience>)
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let patience = patience.into();
    let attempt = || async move {
        match api.get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(String::new()),
            Err(error) => Err(error.to_string()),
        }
    };
    if let Err(why) = try_until(patience.timeout, attempt).await {
        fail(api, name, &patience, "is gone", &why).await;
    }
}

async fn try_until<T, F: Future<Output = Result<T, String>>>(
    timeout: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, String> {
    let start = Instant::now();
    let mut last = "not one attempt was answered".to_owned();
    loop {
        // The timeout also ends a look that hangs.
        match tokio::time::timeout(timeout.saturating_sub(start.elapsed()), attempt()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(why)) => last = why,
            Err(_) => return Err(last),
        }
        if start.elapsed() >= timeout {
            return Err(last);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn fail<K>(api: &Api<K>, name: &str, patience: &Patience, what: &str, why: &str) -> !
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let (description, namespace) = describe(api, name).await;
    let logs = match &patience.logs_of {
        Some(selector) => pod_logs(api.clone().into_client(), &namespace, selector).await,
        None => String::new(),
    };
    let timeout = patience.timeout;
    panic!("waited {timeout:?} in vain until {name} {what}. {why}\n{description}{logs}")
}

/// The object as YAML and its events, and its namespace.
async fn describe<K>(api: &Api<K>, name: &str) -> (String, String)
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let object = match api.get_opt(name).await {
        Ok(Some(mut object)) => {
            object.managed_fields_mut().clear();
            object
        }
        Ok(None) => return (format!("{} is not there\n", api.resource_url()), String::new()),
        Err(error) => return (format!("and now: {error}\n"), String::new()),
    };
    let mut text = serde_saphyr::to_string(&object).unwrap_or_else(|error| error.to_string());
    // Events of cluster-scoped objects are in the namespace `default`.
    let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
    let events: Api<Event> = Api::namespaced(api.clone().into_client(), &namespace);
    let of_object = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let written = match events.list(&of_object).await {
        Ok(events) if events.items.is_empty() => writeln!(text, "no events"),
        Ok(events) => events.items.iter().try_for_each(|event| {
            let field = |value: &Option<String>| value.clone().unwrap_or_default();
            writeln!(
                text,
                "event {} {}: {}",
                field(&event.type_),
                field(&event.reason),
                field(&event.message)
            )
        }),
        Err(error) => writeln!(text, "no events: {error}"),
    };
    written.expect("writing to a String should not fail");
    (text, namespace)
}

/// The last log lines of each container of the pods with these labels.
pub async fn pod_logs(client: Client, namespace: &str, selector: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let list = match pods.list(&ListParams::default().labels(selector)).await {
        Ok(list) => list,
        Err(error) => return format!("no logs of {selector}: {error}\n"),
    };
    let mut text = format!("{} pods with {selector}\n", list.items.len());
    for pod in list {
        let spec = pod.spec.clone().unwrap_or_default();
        for container in spec.init_containers.into_iter().flatten().chain(spec.containers) {
            let params = LogParams {
                container: Some(container.name.clone()),
                tail_lines: Some(50),
                ..LogParams::default()
            };
            let logs = pods.logs(&pod.name_any(), &params).await.unwrap_or_else(|error| error.to_string());
            writeln!(text, "--- {}/{}\n{logs}", pod.name_any(), container.name)
                .expect("writing to a String should not fail");
        }
    }
    text
}
