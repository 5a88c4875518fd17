# The certificates and kubeconfig files of one node's life.

pki=$state/pki

certificate_authority() { # <name>
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -keyout "$pki/$1.key" -out "$pki/$1.crt" -subj "/CN=workflow-operator-cluster-$1"
}

certificate() { # <name> <authority> <subject> [usage] [alternative names]
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$pki/$1.key" -out "$pki/$1.csr" -subj "$3"
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/$2.crt" -CAkey "$pki/$2.key" -CAcreateserial -days 3650 -out "$pki/$1.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "${5:-DNS:$1}" "${4:-clientAuth}")
}

self_signed_certificate() { # <name> <usage> [alternative names]
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -keyout "$pki/$1.key" -out "$pki/$1.crt" \
    -subj "/CN=$1" -addext "extendedKeyUsage=$2" -addext "subjectAltName=${3:-DNS:$1}"
}

# Of a Service that is also reached by its address, by an authority of its own: <name>-ca.
create_service_certificate() { # <name> <namespace> <address>
  certificate_authority "$1-ca"
  certificate "$1" "$1-ca" "/CN=$1" serverAuth \
    "DNS:$1.$2.svc,DNS:$1.$2,DNS:$1.$2.svc.cluster.local,DNS:localhost,IP:$3,IP:127.0.0.1"
}

# A Secret with the certificate and its key.
tls_secret() { # <namespace> <secret> <name of the certificate>
  cat <<END
---
apiVersion: v1
kind: Secret
metadata: {name: $2, namespace: $1}
type: kubernetes.io/tls
data: {tls.crt: $(base64 -w0 "$pki/$3.crt"), tls.key: $(base64 -w0 "$pki/$3.key")}
END
}

# A Secret with what clients need to trust an authority's certificates; it has the authority's name.
authority_secret() { # <namespace> <name of the authority>
  cat <<END
---
apiVersion: v1
kind: Secret
metadata: {name: $2, namespace: $1}
data: {ca.crt: $(base64 -w0 "$pki/$2.crt")}
END
}

# Self-contained, so that it can be copied.
write_kubeconfig() { # <certificate> <file>
  (umask 077 && cat >"$2") <<EOF
apiVersion: v1
kind: Config
clusters:
- name: workflow-operator
  cluster:
    server: $api_server
    certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$pki/$1.crt")
    client-key-data: $(base64 -w0 "$pki/$1.key")
contexts:
- name: workflow-operator
  context: {cluster: workflow-operator, user: $1}
current-context: workflow-operator
EOF
}

create_certificates() {
  local service=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local user
  mkdir -p -m 0700 "$pki"
  certificate_authority ca
  # The aggregation layer trusts a request's headers by this one alone.
  certificate_authority front-proxy-ca
  certificate apiserver ca /CN=kube-apiserver serverAuth \
    "$service,DNS:localhost,IP:127.0.0.1,IP:$kubernetes_service_ip,IP:$node_ip"
  certificate kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
  certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
  certificate admin ca /O=system:masters/CN=admin
  certificate kube-controller-manager ca /CN=system:kube-controller-manager
  certificate kube-scheduler ca /CN=system:kube-scheduler
  certificate kube-proxy ca /CN=system:kube-proxy
  certificate "$node_name" ca "/O=system:nodes/CN=system:node:$node_name" clientAuth,serverAuth "DNS:$node_name,IP:$node_ip"
  openssl genrsa -out "$pki/service-accounts.key" 2048
  openssl rsa -in "$pki/service-accounts.key" -pubout -out "$pki/service-accounts.pub"
  for user in kube-controller-manager kube-scheduler kube-proxy "$node_name"; do
    write_kubeconfig "$user" "$pki/$user.kubeconfig"
  done
  write_kubeconfig admin "$admin_kubeconfig"
}
