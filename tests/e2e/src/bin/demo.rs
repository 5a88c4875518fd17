//! Tells the story for people: `./dev demo` prepares the cluster and runs this.

use e2e::cluster::Cluster;
use e2e::progress::Progress;
use e2e::story::{Load, Summary, tell};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let progress = Progress::default();
    let cluster = Cluster::named().await?;
    let reported = tell(&cluster, progress, Load::default()).await;
    if let Ok(summary) = &reported {
        print_summary(progress, summary);
    }
    print_where_to_look(progress);
    reported.map(|_| ())
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
