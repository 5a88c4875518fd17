# Names, addresses and folders of the local cluster. Everything it creates on the host carries one of these names, so that it
# can be found and removed again, also by another checkout and after its processes died.

repository=$(cd "$cluster_dir/../.." && pwd)

# Built programs and images: outside git, shared by all checkouts, safe to delete.
cache=${WORKFLOW_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/workflow-operator}

# One folder per host, not per checkout: bridges, iptables rules and addresses are host-wide too.
state=${WORKFLOW_OPERATOR_CLUSTER_STATE:-/var/lib/workflow-operator-cluster}
lock=/run/workflow-operator-cluster.lock

# Every process of the node has this variable in its environment, with the state folder as its value: the only safe way to know
# one's own after a crash (by then a pid file may name a process of somebody else).
marker=WORKFLOW_OPERATOR_CLUSTER_OWNER

node_name=node1
node_ip=10.99.0.1
pod_cidr=10.244.0.0/24
service_cidr=10.96.0.0/16
kubernetes_service_ip=10.96.0.1
dns_service_ip=10.96.0.10

node_bridge=wfnode0
pod_bridge=wfcni0
pod_network=workflow-operator
rule_comment=workflow-operator-cluster
cgroup=workflow-operator

api_server=https://$node_ip:6443
etcd_client=http://127.0.0.1:23790
etcd_peer=http://127.0.0.1:23800
admin_kubeconfig=$state/kubeconfig
containerd_socket=$state/containerd/containerd.sock

daemons=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy)
