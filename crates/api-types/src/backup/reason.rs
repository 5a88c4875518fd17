crate::reason::kind_reasons! {
    /// Why a condition of a `WorkflowBackup` has its value.
    BackupReason {
        BackupCompleted Normal
            "The backup is complete and was verified."
            => "Nothing.",
        BackupRunning Normal
            "The backup is being made; the message names the Job."
            => "Wait.",
        BackupAwaited Normal
            "Another backup of the same cluster is being made: one at a time."
            => "Wait.",
        ClusterMissing Warning
            "`spec.clusterRef` names no WorkflowCluster of this namespace."
            => "Correct the name, or create the WorkflowCluster.",
        ClusterNotReady Normal
            "The cluster's database cannot be backed up yet: it is being made, or the engine's schema is not there."
            => "Wait.",
        PostgresWaking Normal
            "The engine is stopped; its managed Postgres wakes up for the backup."
            => "Wait.",
        DestinationMissing Warning
            "Neither `spec.destination` nor the cluster's `spec.backup.destination` says where the backup goes."
            => "Set one of them.",
        DestinationInvalid Warning
            "The destination cannot be used as it is written; the message says why."
            => "Correct it, in a new WorkflowBackup.",
        DestinationUnreachable Warning
            "The S3 service cannot be reached, or its certificate is not trusted."
            => "Check `endpoint`, `caSecret` and network policies.",
        DestinationSecretMissing Warning
            "A Secret or PersistentVolumeClaim that the destination or the encryption names does not exist, or lacks a key."
            => "Create what the message names; the backup goes on by itself.",
        CredentialsRefused Warning
            "The S3 service refuses the credentials, or what they ask for."
            => "Correct the Secret that `credentialsSecret` names, or the rights of its key.",
        BucketMissing Warning
            "The bucket does not exist."
            => "Create the bucket, or correct its name.",
        ClockSkew Warning
            "The S3 service refuses the request because of its time: the clocks of node and service differ."
            => "Set the clocks.",
        DestinationFull Warning
            "There is no space left at the destination."
            => "Make space: delete backups, or enlarge the volume.",
        EncryptionKeyInvalid Warning
            "The key of the encryption is none of age's."
            => "Correct the Secret that the message names.",
        BackupIdTaken Warning
            "The destination already holds a backup with this id, of another cluster."
            => "Use another name, or another destination or prefix.",
        DatabaseUnreachable Warning
            "The backup's pod could not use the database; the message has the cause."
            => "Correct the cause; the backup is tried again.",
        DatabaseNotReadable Warning
            "The login may not read, or not prepare to read, every row of the engine."
            => "Let the login own schema `workflow`.",
        PgDumpTooOld Warning
            "The server is newer than the `pg_dump` of the backup's image."
            => "Use an image of the backup agent with that version of PostgreSQL.",
        PgDumpFailed Warning
            "`pg_dump` failed; the message has the cause."
            => "Read the Job's log.",
        SnapshotTooLong Warning
            "The backup took longer than `maxSeconds`, and was ended: its snapshot keeps dead rows from being removed."
            => "Raise `maxSeconds`, or back up when there is less load.",
        ProviderMissing Warning
            "`method: CloudNativePG` needs CloudNativePG and its Barman Cloud plugin."
            => "Install what the message names, or use `method: Logical`.",
        ProviderBackupFailed Warning
            "CloudNativePG did not make the base backup; the message has its cause."
            => "Correct the cause: mostly what the destination's credentials may do. Then make a new WorkflowBackup.",
        MethodUnsupported Warning
            "The method does not fit the cluster's database or the destination."
            => "Use another method, in a new WorkflowBackup.",
        JobFailed Warning
            "The backup's Job failed without a result; the message names it."
            => "Read the Job's log and events. Make a new WorkflowBackup.",
        FailedCreate Warning
            "Kubernetes refuses to create the backup's pod; the message says why."
            => "Correct what the message names.",
        PodNotStarting Warning
            "The backup's pod exists and does not start; the message says why."
            => "Correct what the message names; the backup goes on by itself.",
        ArtefactDeleted Normal
            "What the backup left at the destination was deleted (event)."
            => "Nothing.",
        ArtefactRetained Normal
            "The object is gone, what it left at the destination stays (event)."
            => "Nothing. A cluster can be restored from it by `backupId` and `destination`.",
        ArtefactLeft Warning
            "The object is gone, and what it left at the destination could not be deleted within its time (event)."
            => "Delete the named folder at the destination.",
        ArtefactInUse Warning
            "A cluster is being restored from the backup: it is deleted when that has ended."
            => "Wait.",
        ArtefactDeleting Normal
            "What the backup left at the destination is being deleted; the message names the Job."
            => "Wait.",
        DrillSucceeded Normal
            "The backup was restored into a throw-away database, and every row came back (event)."
            => "Nothing.",
        DrillFailed Warning
            "The backup could not be restored into a throw-away database; the message says why (event, also on the WorkflowCluster)."
            => "Correct what the message names. Until a drill succeeds, do not count on this backup.",
        BackupScheduleInvalid Warning
            "`spec.backup.schedule`, `spec.backup.drill.schedule` or `spec.backup.timeZone` is no schedule or no time zone (event on the WorkflowCluster)."
            => "Correct the field that the message names.",
        BackupMissed Warning
            "A backup of the schedule was not made in its time, and the next one is near (event on the WorkflowCluster)."
            => "Nothing; if it happens again, look whether the backup-controller runs.",
        BackupSkipped Warning
            "A backup of the schedule was not made, because the former one is not done (event on the WorkflowCluster)."
            => "Look at the backup that the message names, or make the schedule less dense.",
    }
}
