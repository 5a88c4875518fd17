# An S3 server with TLS and credentials in the namespace object-storage, and the bucket `backups` in it.

s3_namespace=object-storage
# As parts/versitygw/manifest.yaml has it.
s3_ip=10.96.0.20

install_s3() {
  require_root s3
  take_lock
  require_node s3
  ensure_packages curl=curl openssl=openssl
  if ! part_runs versitygw "$s3_namespace" s3; then
    build_part versitygw
    build_part_image versitygw
    step "$cache/log/load-versitygw.log" "loading the S3 server" load_image "$(part_image_tar versitygw)"
    step "$state/log/s3.log" "installing the S3 server" apply_s3
  fi
  step "$state/log/s3-bucket.log" "looking for the bucket 'backups'" ensure_bucket backups
  say "the S3 server is https://s3.$s3_namespace.svc in pods and https://$s3_ip on the host"
}

apply_s3() {
  local secrets
  [[ -f $pki/s3.crt ]] || create_service_certificate s3 "$s3_namespace" "$s3_ip"
  secrets=$(
    tls_secret "$s3_namespace" s3-tls s3
    authority_secret "$s3_namespace" s3-ca
    secret_exists "$s3_namespace" s3-credentials || s3_credentials_secret
  )
  { render_part versitygw && printf '%s\n' "$secrets"; } | admin_kubectl apply --server-side --force-conflicts -f -
  admin_kubectl -n "$s3_namespace" rollout status deployment/s3 --timeout=120s
}

# Of this node's life, and of nobody's before.
s3_credentials_secret() {
  cat <<END
---
apiVersion: v1
kind: Secret
metadata: {name: s3-credentials, namespace: $s3_namespace}
stringData: {accessKeyId: "$(openssl rand -hex 10)", secretAccessKey: "$(openssl rand -hex 20)"}
END
}

ensure_bucket() { # <name>
  s3_request --head "$1" || s3_request --request PUT "$1"
}

# The Service's rules may follow the pod's readiness by a moment.
s3_request() { # <curl arguments...> <path>
  curl --silent --show-error --fail --output /dev/null --retry 5 --retry-connrefused --retry-delay 1 --cacert "$pki/s3-ca.crt" \
    --aws-sigv4 aws:amz:us-east-1:s3 --header x-amz-content-sha256:UNSIGNED-PAYLOAD --config <(s3_curl_credentials) \
    "${@:1:$#-1}" "https://$s3_ip/${*: -1}"
}

# By a file, because arguments are everybody's to read.
s3_curl_credentials() {
  admin_kubectl -n "$s3_namespace" get secret s3-credentials \
    -o 'go-template=user = "{{.data.accessKeyId | base64decode}}:{{.data.secretAccessKey | base64decode}}"'
}
