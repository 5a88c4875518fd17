crate::reason::kind_reasons! {
    /// Why a condition of a `WorkflowWorker` has its value.
    WorkerReason {
        Running Normal
            "The fleet runs as the spec says."
            => "Nothing.",
        Stopped Normal
            "`spec.replicas` is 0: no worker pod runs."
            => "Raise `spec.replicas`.",
        Reconciling Normal
            "Owned objects are being changed to match the spec; the message says which."
            => "Wait.",
        RolloutComplete Normal
            "Every pod runs the current template and is ready."
            => "Nothing.",
        RollingOut Normal
            "Pods are being started or replaced."
            => "Wait.",
        RolloutFailed Warning
            "Pods do not become ready; the message names a pod and its state."
            => "Look at the named pod's events and logs; a corrected spec recovers without further help.",
        MetricsAvailable Normal
            "The autoscaler gets the lag of every job type."
            => "Nothing.",
        MetricsUnavailable Warning
            "The autoscaler cannot read `wf_job_lag_seconds`; it keeps the current number of pods."
            => "Look at the job-lag-metrics-adapter and the APIService `v1beta1.external.metrics.k8s.io`.",
        AutoscalingDisabled Normal
            "`spec.autoscaling` is not set: the number of pods is `spec.replicas`, or the number that an autoscaler set last until `spec.replicas` is changed."
            => "Nothing.",
        AutoscalerConflict Warning
            "Another HorizontalPodAutoscaler targets the same Deployment; the message names it."
            => "Delete the other autoscaler, or remove `spec.autoscaling`.",
        EnvSecretMissing Warning
            "A Secret or key named in `spec.env` does not exist in this namespace."
            => "Create the named Secret and key.",
        PullSecretMissing Warning
            "A Secret named in `spec.imagePullSecrets` does not exist in this namespace, or holds no login to a registry."
            => "Create the named Secret: `kubectl create secret docker-registry`.",
        ServiceAccountMissing Warning
            "The ServiceAccount named in `spec.authentication` does not exist in this namespace."
            => "Create the named ServiceAccount.",
        ClusterNotReady Warning
            "The cluster has no endpoint yet, or is being deleted; running pods are left alone."
            => "Look at the `WorkflowCluster` that the message names.",
        TenantNotReady Warning
            "The tenant is not in the engine yet, or is being deleted; running pods are left alone."
            => "Look at the `WorkflowTenant` that the message names.",
        EngineCredentialsMissing Warning
            "The cluster's CA or worker key cannot be read."
            => "Look at the `WorkflowCluster`; its controller makes both.",
        ReferenceNotPermittedOrMissing Warning
            "The cluster or tenant does not exist, or this namespace may not refer to it; which of the two is not disclosed."
            => "Check the names, have the tenant list this namespace in `spec.namespaces`, or have a cluster admin label it `workflow.example.com/tenant: <tenant>`.",
    }
}
