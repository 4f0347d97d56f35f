# Runs beside the unpacked root, whose path is $1: only what its programs read stays.
set -eu
cd "$1"
find usr/share/doc -type f ! -name copyright -delete
rm -rf usr/share/man usr/share/locale usr/share/bash-completion usr/share/lintian
rm -rf usr/lib/x86_64-linux-gnu/gconv var/cache var/log
# Debian makes these links when packages are configured, which they are not here.
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "usr/sbin/$name"
done
