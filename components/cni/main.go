// flanneld connects the pods of all nodes: flannel's own packages behind a main of ours.
//
// Upstream's main also links back ends for clouds and VPNs whose modules are not served everywhere, and hands over to a
// CNI plugin of its own. This one keeps what a site of machines needs: the subnets that Kubernetes gave the nodes,
// plain routes between neighbours and VXLAN to all others, masquerading in nftables. It then writes the node's CNI
// configuration for the standard plugins, which is when the node becomes Ready.
//
// Environment: NODE_NAME, HOST_IP (the node's address); KUBECONFIG where it does not run in a pod.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr"
	"github.com/flannel-io/flannel/pkg/trafficmngr/nftables"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"
)

const (
	annotations = "flannel.alpha.coreos.com"
	cniConfig   = "/etc/cni/net.d/10-bessemer.conflist"
	lookAgain   = 500 * time.Millisecond
	// nftables rules are only set once: nothing else owns flannel's tables.
	noResync = 0
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		klog.Exit(err)
	}
}

func run(ctx context.Context) error {
	node, address, kubeconfig := os.Getenv("NODE_NAME"), os.Getenv("HOST_IP"), os.Getenv("KUBECONFIG")
	if node == "" || address == "" {
		return fmt.Errorf("NODE_NAME and HOST_IP must be set: they come from the DaemonSet")
	}
	pods, podsHere, err := podNetworks(ctx, kubeconfig, node)
	if err != nil {
		return err
	}
	manager, err := subnetManager(ctx, kubeconfig, pods)
	if err != nil {
		return err
	}
	config, err := manager.GetNetworkConfig(ctx)
	if err != nil {
		return err
	}
	stack, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return err
	}
	outside, err := ipmatch.LookupExtIface(address, "", "", stack, ipmatch.PublicIPOpts{})
	if err != nil {
		return fmt.Errorf("no interface has the node's address %s: %w", address, err)
	}
	vxlan, err := backend.NewManager(ctx, manager, outside).GetBackend(config.BackendType)
	if err != nil {
		return err
	}
	var tasks sync.WaitGroup
	network, err := vxlan.RegisterNetwork(ctx, &tasks, config)
	if err != nil {
		return err
	}
	if err := filter(ctx, config, network); err != nil {
		return err
	}
	if err := writeCNIConfig(cniConfig, podsHere, network.MTU()); err != nil {
		return err
	}
	klog.Infof("pods of this node are in %s, of all nodes in %s", podsHere, pods)
	tasks.Go(func() { network.Run(ctx) })
	if err := manager.CompleteLease(ctx, network.Lease(), &tasks); err != nil {
		return err
	}
	tasks.Wait()
	return nil
}

// podNetworks waits until kubeadm's configuration names the network of all pods, and Kubernetes this node's part.
func podNetworks(ctx context.Context, kubeconfig, node string) (all, here string, err error) {
	rest, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return "", "", err
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return "", "", err
	}
	err = wait.PollUntilContextCancel(ctx, lookAgain, true, func(ctx context.Context) (bool, error) {
		// Service addresses may not work yet: not an error, but worth saying.
		kubeadm, err := client.CoreV1().ConfigMaps("kube-system").Get(ctx, "kubeadm-config", metav1.GetOptions{})
		if err != nil {
			klog.Warningf("waiting for kubeadm's configuration: %v", err)
			return false, nil
		}
		self, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			klog.Warningf("waiting for node %s: %v", node, err)
			return false, nil
		}
		here = self.Spec.PodCIDR
		all, err = podSubnet(kubeadm.Data["ClusterConfiguration"])
		return here != "", err
	})
	return all, here, err
}

func podSubnet(clusterConfiguration string) (string, error) {
	var cluster struct {
		Networking struct {
			PodSubnet string `json:"podSubnet"`
		} `json:"networking"`
	}
	if err := yaml.Unmarshal([]byte(clusterConfiguration), &cluster); err != nil {
		return "", fmt.Errorf("kubeadm's configuration is not readable: %w", err)
	}
	found := cluster.Networking.PodSubnet
	if parsed, _, err := net.ParseCIDR(found); err != nil || parsed.To4() == nil {
		return "", fmt.Errorf("the cluster's pod network is %q: one IPv4 network is wanted", found)
	}
	return found, nil
}

// subnetManager starts flannel's view of the nodes, which takes its configuration from a file.
func subnetManager(ctx context.Context, kubeconfig, pods string) (subnet.Manager, error) {
	text, err := json.Marshal(map[string]any{
		"Network":        pods,
		"EnableNFTables": true,
		"Backend":        map[string]any{"Type": "vxlan", "DirectRouting": true},
	})
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "flannel")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "net-conf.json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return nil, err
	}
	return kube.NewSubnetManager(ctx, "", kubeconfig, annotations, path, true)
}

// filter lets pods' traffic through, and masquerades what leaves their network.
func filter(ctx context.Context, config *subnet.Config, network backend.Network) error {
	var rules trafficmngr.TrafficManager = &nftables.NFTablesManager{}
	if err := rules.Init(ctx); err != nil {
		return err
	}
	var none4 ip.IP4Net
	var none6 ip.IP6Net
	rules.SetupAndEnsureForwardRules(ctx, config.Network, none6, noResync)
	return rules.SetupAndEnsureMasqRules(
		ctx, config.Network, none4, none4, none6, none6, none6, network.Lease(), noResync, false)
}

// writeCNIConfig replaces the file at once, as the container runtime watches its folder.
//
// ptp routes every pod's traffic through the host, so that Services work between pods of one node without
// br_netfilter. Addresses are kept below /run: a restart of the machine ends all pods, and theirs are free again.
func writeCNIConfig(path, pods string, mtu int) error {
	text, err := json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0",
		"name":       "bessemer",
		"plugins": []map[string]any{
			{
				"type": "ptp",
				"mtu":  mtu,
				"ipam": map[string]any{
					"type":    "host-local",
					"dataDir": "/run/cni",
					"ranges":  [][]map[string]string{{{"subnet": pods}}},
					"routes":  []map[string]string{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "backend": "nftables", "capabilities": map[string]bool{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// The runtime takes files by their extension: this one has none that it knows.
	fresh := path + ".new"
	if err := os.WriteFile(fresh, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
