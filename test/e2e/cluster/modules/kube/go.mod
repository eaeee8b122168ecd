// Marks this folder as a module. What is built is pinned in NAME.mod, one for each Kubernetes; ../pin.sh writes them.
module tapline.dev/cluster/kube

go 1.26.0
