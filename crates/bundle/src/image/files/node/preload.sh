# Fills the image store of a root: preload.sh CONTAINERD CTR ROOT OCI-LAYOUT SCRATCH. The runtime ends with its
# process namespace, its mounts with the mount namespace.
set -eu
containerd=$1 root=$3 layout=$4 scratch=$5
# Names of sockets have to be short.
mount -t tmpfs tmpfs /run
ctr="$2 --address /run/socket --namespace k8s.io"
cat >"$scratch/config.toml" <<END
version = 3
root = '$root/var/lib/containerd'
state = '/run/containerd'
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime']
[grpc]
  address = '/run/socket'
[ttrpc]
  address = '/run/socket.ttrpc'
END
"$containerd" --config "$scratch/config.toml" >"$scratch/log" 2>&1 &
runtime=$!
until $ctr version >/dev/null 2>&1; do
    kill -0 "$runtime" 2>/dev/null || { cat "$scratch/log"; exit 1; }
    sleep 0.1
done
tar -C "$layout" -cf "$scratch/images.tar" .
$ctr images import --local --discard-unpacked-layers "$scratch/images.tar" || { cat "$scratch/log"; exit 1; }
# The packed layers are of no more use: removing a lease at once collects them now.
$ctr leases create --id collect >/dev/null
$ctr leases delete --sync collect >/dev/null
$ctr images list --quiet
kill "$runtime"
wait "$runtime" || true
