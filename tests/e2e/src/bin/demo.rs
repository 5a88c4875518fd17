//! Tells the story for people: `./dev demo` prepares the cluster and runs this.

use e2e::cluster::Cluster;
use e2e::progress::Progress;
use e2e::story::{Load, Summary, tell};
use e2e::upgrade_act::{self, Outcome};

/// Starts per second while an engine is upgraded: through the API server more would measure that.
const RATE: u32 = 50;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let progress = Progress::default();
    let cluster = Cluster::named().await?;
    let result = run_all(&cluster, progress).await;
    print_where_to_look(progress);
    result
}

async fn run_all(cluster: &Cluster, progress: Progress) -> anyhow::Result<()> {
    let summary = tell(cluster, progress, Load::default()).await?;
    progress.row("");
    let outcome = upgrade_act::run(cluster, progress, "upgrade-demo", RATE).await?;
    print_summary(progress, &summary);
    print_upgrades(progress, &outcome);
    outcome.require_unharmed()
}

fn print_summary(progress: Progress, summary: &Summary) {
    progress.row("");
    progress.row("Summary");
    for (milestone, at) in &summary.milestones {
        progress.row(&format!("  {:<58} {:>5.0}s", milestone, at.as_secs_f64()));
    }
    progress.row(&format!("  {:<58} {:>5.0}s", "largest job lag", summary.lag_peak));
    progress.row(&format!(
        "  {:<58} {} -> {} -> {}",
        "worker replicas", summary.replicas_before, summary.replicas_peak, summary.replicas_after
    ));
}

fn print_upgrades(progress: Progress, outcome: &Outcome) {
    progress.row("");
    progress.row(&format!(
        "Jobs completed per second while the engine was upgraded and a sick version went back, {} in all",
        outcome.audit.ended
    ));
    for line in outcome.chart() {
        progress.row(&format!("  {line}"));
    }
    let why = outcome.failure.as_deref().unwrap_or("it did not come: this cluster has no image of it");
    progress.row(&format!("  why 1.3.1 went back: {why}"));
    let counts = [
        ("calls that failed after the client's repetitions", outcome.ledger.failures.len()),
        ("jobs lost", outcome.audit.lost),
        ("jobs done twice", outcome.audit.doubled),
    ];
    for (what, count) in counts {
        progress.row(&format!("  {what:<58} {count:>5}"));
    }
}

/// Also after a failure: the custom resources say why.
fn print_where_to_look(progress: Progress) {
    progress.row("");
    progress.row("Where to look next");
    progress.row("  ./dev status                                  the node, and the pods that do not run");
    progress.row("  ./dev kubectl get wfc,wft,wfp,wfw -A          the custom resources");
    progress.row("  ./dev kubectl describe wfp order-flow -n acme-tenant");
    progress.row("  ./dev kubectl get events -A --sort-by=.metadata.creationTimestamp");
    progress.row("  ./dev kubectl get hpa payment-worker -n acme-tenant");
    progress.row(
        "  deploy/gitops                                 edit a file, ./dev kubectl apply -k deploy/gitops",
    );
}
