//! What an intent may not say is said back as a sentence.

use crate::Change;
use intent::{HostPort, Layer, Problem, RENDERER, RenderError, Role, render};

#[test]
fn each_problem_has_its_sentence() {
    let cases: &[(&str, Change)] = &[
        ("uid is `abc`; it must be 24 lower-case hex digits", |i| i.uid = "abc".into()),
        ("name is `Demo`; it must be a DNS label", |i| i.name = "Demo".into()),
        ("namespace is `9a`; it must be a DNS label", |i| i.namespace = "9a".into()),
        ("kubernetesVersion is `1.36`; it must be one like 1.36.3", |i| i.kubernetes_version = "1.36".into()),
        ("endpoint.dnsDomain is ``; it must be a MAAS DNS domain", |i| i.endpoint.dns_domain.clear()),
        ("endpoint.given.port is `0`", |i| {
            i.endpoint.given = Some(HostPort { host: "10.0.0.1".into(), port: 0 });
        }),
        ("the network 10.96.1.0/16 has bits set behind its prefix; write 10.96.0.0/16", |i| {
            i.network.services = "10.96.1.0/16".parse().unwrap();
        }),
        ("the node network 10.96.7.0/24 and the service CIDR 10.96.0.0/16 overlap: kube-proxy drops", |i| {
            i.network.nodes = vec!["10.96.7.0/24".parse().unwrap()];
        }),
        ("the node network 10.0.0.0/8 and the service CIDR 10.96.0.0/16 overlap", |i| {
            i.network.nodes = vec!["10.0.0.0/8".parse().unwrap()];
        }),
        ("the pod CIDR 10.96.128.0/17 and the service CIDR 10.96.0.0/16 overlap", |i| {
            i.network.pods = "10.96.128.0/17".parse().unwrap();
        }),
        ("the pod CIDR 10.20.0.0/16 and the node network 10.20.0.0/24 overlap", |i| {
            i.network.pods = "10.20.0.0/16".parse().unwrap();
        }),
        ("must both be IPv4 or both IPv6", |i| i.network.pods = "fd00::/48".parse().unwrap()),
        ("0 pools have the role control-plane; there must be one", |i| i.pools[0].role = Role::Worker),
        ("2 pools have the role control-plane; there must be one", |i| i.pools[1].role = Role::ControlPlane),
        ("has 2 replicas; etcd's members vote, so there must be an odd number", |i| i.pools[0].replicas = 2),
        ("has 0 replicas; etcd's members vote", |i| i.pools[0].replicas = 0),
        ("pool `control` is there twice", |i| i.pools[1].name = "control".into()),
        ("the name of pool a_b is `a_b`; it must be a DNS label", |i| i.pools[1].name = "a_b".into()),
        ("the MachineDeployment `demo-a-b-c` is there twice", |i| {
            let mut other = i.pools[1].clone();
            (i.pools[1].name, i.pools[1].zones) = ("a".into(), vec!["b-c".into()]);
            (other.name, other.zones) = ("a-b".into(), vec!["c".into()]);
            i.pools.push(other);
        }),
        ("pool workers: image is empty", |i| i.pools[1].image.clear()),
        ("pool workers: controlPlaneAsWorker is for the control-plane pool", |i| {
            i.pools[1].control_plane_as_worker = true;
        }),
        ("pool workers: zones names one of them twice", |i| i.pools[1].zones = vec!["a".into(), "a".into()]),
        ("pool workers: tags has an empty name", |i| i.pools[1].tags = vec![String::new()]),
        ("pool workers: `a b=c` is no Kubernetes label", |i| {
            i.pools[1].labels = [("a b".into(), "c".into())].into();
        }),
        ("a kubelet may not give its node the label `x.kubernetes.io/y`", |i| {
            i.pools[1].labels = [("x.kubernetes.io/y".into(), "z".into())].into();
        }),
        ("pool control: overrideKubeadmConfiguration is for worker pools", |i| {
            i.pools[0].override_kubeadm_configuration = Some(String::new());
        }),
        ("pool workers: overrideKubeadmConfiguration: unknown field `files`", |i| {
            i.pools[1].override_kubeadm_configuration = Some("files: []".into());
        }),
        ("the kubelet's --x would have more than 1024 characters", |i| {
            i.pools[1].override_kubeadm_configuration =
                Some(format!("kubeletExtraArgs: {{x: {}}}", "y".repeat(1025)));
        }),
        ("pool workers: overrideClusterApiConfig: `maasCluster` cannot be overridden here", |i| {
            i.pools[1].override_cluster_api_config = Some("maasCluster: {spec: {}}".into());
        }),
        ("overrideClusterApiConfig: below `maasCluster` only `spec`", |i| {
            i.override_cluster_api_config = Some("maasCluster: {status: {}}".into());
        }),
        ("layer cni: document 1 has no apiVersion or no kind", |i| i.layers[0].manifests = "a: b".into()),
        ("layer `cni` is there twice", |i| i.layers.push(i.layers[0].clone())),
        ("there are 101 layers; 100 are taken at most", |i| {
            let one = i.layers[0].clone();
            i.layers = (0..101).map(|n| Layer { name: format!("layer-{n}"), ..one.clone() }).collect();
        }),
        ("make charts of the larger ones", |i| i.layers[0].manifests.push_str(&"#\n".repeat(1 << 19))),
        ("registry.url is `10.0.0.1:5000`; it must be like https://10.20.0.1:5000", |i| {
            i.registry.as_mut().unwrap().url = "10.0.0.1:5000".into();
        }),
        ("registry.ca has no certificate in PEM", |i| i.registry.as_mut().unwrap().ca = Some("x".into())),
        ("sshKeys[0] must be one line with a key", |i| i.ssh_keys = vec!["ssh-rsa A\nssh-rsa B".into()]),
    ];
    for (sentence, spoil) in cases {
        let mut intent = crate::small();
        spoil(&mut intent);
        let refusal = render(&intent).expect_err(sentence).to_string();
        assert!(refusal.contains(sentence), "{sentence:?} is not in {refusal:?}");
        assert!(!refusal.ends_with('.') && !refusal.contains("  "), "{refusal}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let mut intent = crate::small();
    intent.uid.clear();
    intent.pools[0].replicas = 4;
    assert_eq!(intent.check(), [Problem::Uid(String::new()), Problem::Replicas(4)]);
}

#[test]
fn a_cluster_stays_with_its_renderer() {
    let mut intent = crate::small();
    intent.renderer = None;
    assert_eq!(intent.clone().pinned().renderer, Some(RENDERER));
    assert_eq!(render(&intent), render(&intent.clone().pinned()));
    intent.renderer = Some(RENDERER + 1);
    assert_eq!(render(&intent.clone().pinned()), Err(RenderError::Renderer(RENDERER + 1)));
}
