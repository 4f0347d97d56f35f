# Runs in the root of a node.
set -eu
systemctl enable containerd.service containerd-cgroupfs.service kubelet.service
