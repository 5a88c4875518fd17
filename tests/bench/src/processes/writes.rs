//! How often the API server was written to, as it counts itself.

use std::collections::BTreeMap;

use kube::Client;

/// Counts since its start, by what was written: the objects of both kinds, and events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes(BTreeMap<String, u32>);

impl Writes {
    pub(crate) async fn read(client: &Client) -> anyhow::Result<Self> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        Ok(Self::parse(&client.request_text(request).await?))
    }

    fn parse(metrics: &str) -> Self {
        let mut counts = BTreeMap::new();
        for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let label = |name: &str| {
                let (_, rest) = line.split_once(&format!("{name}=\""))?;
                rest.split('"').next()
            };
            let verb = label(",verb").unwrap_or_default();
            let resource = label(",resource").unwrap_or_default();
            let is_write = matches!(verb, "POST" | "PUT" | "PATCH" | "APPLY");
            if !is_write || !matches!(resource, "workflowprocesses" | "events") {
                continue;
            }
            let part = match label(",subresource").unwrap_or_default() {
                "" => resource.to_owned(),
                subresource => format!("{resource}/{subresource}"),
            };
            // A refused write is one, too, and counted apart.
            let refused = match label("code").unwrap_or_default() {
                code if code.starts_with('2') => String::new(),
                code => format!(", refused with {code}"),
            };
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<u32>().ok());
            *counts.entry(format!("{verb} {part}{refused}")).or_default() += count.unwrap_or_default();
        }
        Self(counts)
    }

    pub(crate) fn since(&self, former: &Self) -> Self {
        let before = |what: &String| former.0.get(what).copied().unwrap_or_default();
        let counts = self.0.iter().map(|(what, count)| (what.clone(), count.saturating_sub(before(what))));
        Self(counts.filter(|(_, count)| *count > 0).collect())
    }

    pub(crate) fn total(&self) -> u32 {
        self.0.values().sum()
    }

    /// Events per object, to the nearest whole.
    pub(crate) fn events_per(&self, objects: u32) -> u32 {
        let events: u32 =
            self.0.iter().filter(|(what, _)| what.ends_with(" events")).map(|(_, count)| count).sum();
        (events + objects / 2) / objects
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(what, count)| (what.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_counted_by_what_they_write() {
        let line = |code, resource, subresource, verb, count| {
            format!(
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",group=\"g\",resource=\"{resource}\",scope=\"resource\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"v1\"}} {count}\n"
            )
        };
        let metrics = [
            line("200", "workflowprocesses", "", "PATCH", 3),
            line("409", "workflowprocesses", "", "PATCH", 1),
            line("200", "workflowprocesses", "status", "APPLY", 2),
            line("200", "workflowprocesses", "", "LIST", 9),
            line("201", "events", "", "POST", 4),
            line("201", "pods", "", "POST", 7),
        ];
        let writes = Writes::parse(&metrics.concat());
        let expected = [
            ("APPLY workflowprocesses/status", 2),
            ("PATCH workflowprocesses", 3),
            ("PATCH workflowprocesses, refused with 409", 1),
            ("POST events", 4),
        ];
        assert_eq!(writes.iter().collect::<Vec<_>>(), expected);
        assert_eq!((writes.events_per(4), writes.since(&writes).total()), (1, 0));
    }
}
