# Runs in the new root with everything installed.
set -eu
systemctl enable systemd-networkd.service systemd-resolved.service ssh.service
# Nothing here may hold up a start, fetch on its own, or need hardware that a machine may not have.
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
    dpkg-db-backup.timer systemd-udev-settle.service systemd-firstboot.service
rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/dbus/machine-id
rm -rf /var/cache/debconf/*-old
# Not here: temporary files and apt's lists and cache. mmdebstrap cleans them after this script, and keeps in /tmp
# the configuration that makes its apt work on this root; without it, apt would work on the host.
