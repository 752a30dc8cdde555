#!/bin/bash
# Runs as root in a Debian guest with systemd (tests/packaging/run): from a running stock keepalived to ours and back.
# $1: the package, $2: the next version of it; /host/packages has both. Prints one line for each step; ends at the first
# that fails.
. /host/packaging/steps.sh
deb=/host/packages/$1

ip netns add far
ip link add eth0 type veth peer name far0 netns far
ip -n far link set lo up
ip -n far link set far0 up
ip -n far addr add 10.5.0.2/24 dev far0
ip addr add 10.5.0.1/24 dev eth0
ip link set eth0 up
cat >/etc/keepalived/keepalived.conf <<'C'
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 9
    priority 150
    advert_int 3
    virtual_ipaddress {
        10.5.0.9/24
    }
}
C
cp /etc/keepalived/keepalived.conf /root/before.conf
echo '# local' >>/etc/default/keepalived
check "stock keepalived starts" systemctl start keepalived
wait_for "stock keepalived is master" 90 has_vip

# The old daemon goes on running while its package is replaced.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
watch
check "our package replaces stock's" apt-get -y -q install "$deb"
rm /usr/sbin/policy-rc.d
check "the address is still there" has_vip
check "adopt ends the old daemon" keepalived-rs adopt
check "ours starts" systemctl start keepalived-rs
wait_for "ours is master" 90 grep -q 'Entering MASTER STATE' <(journalctl -q -t Keepalived_vrrp -f -n 200)
untouched "the move"
check "it runs our binary" is_ours keepalived-rs
check "keepalived.service is the same unit" is_ours keepalived
check "pidof finds it" pidof keepalived
check "the configuration is as it was" cmp /etc/keepalived/keepalived.conf /root/before.conf
check "it is enabled" systemctl is-enabled keepalived-rs
check "reload" systemctl reload keepalived
check "status" systemctl status --no-pager keepalived

# A crash: back at once, as master.
watch
pid=$(main_pid keepalived-rs)
kill -9 "$pid"
another() { local now; now=$(main_pid keepalived-rs); [ "$now" != 0 ] && [ "$now" != "$pid" ] && systemctl is-active keepalived-rs; }
wait_for "it comes back after kill -9" 90 another
wait_for "the log tells that it goes on" 90 sh -c "journalctl -q | grep -q 'master a moment ago'"
check "the address is still there" has_vip
untouched "the crash"

# An upgrade of our own package, before the eyes of another router.
cp /usr/sbin/keepalived-rs /root/peer
sed 's/priority 150/priority 100/; s/eth0/far0/' /root/before.conf >/root/peer.conf
mkdir /root/far
TMPDIR=/root/far ip netns exec far /root/peer -n -l -G -f /root/peer.conf -p /root/far/1 -r /root/far/2 -c /root/far/3 -b /root/far/4 \
  >/root/far/log 2>&1 & peer=$!
wait_for "another router runs" 90 grep -q "Startup complete" /root/far/log
wait_for "another router hears us" 90 sh -c "kill -USR1 $peer; grep -q 'Master router = 10.5.0.1' /root/far/keepalived.data"
watch
pid=$(main_pid keepalived-rs)
check "apt upgrade" apt-get -y -q install "/host/packages/$2"
wait_for "the new version runs" 90 another
check "it runs our binary" is_ours keepalived-rs
check "the address is still there" has_vip
wait_for "the log tells that it goes on" 90 sh -c "[ \$(journalctl -q | grep -c 'master a moment ago') -ge 2 ]"
sleep 11 # longer than the other router waits for a master that has gone
untouched "the upgrade"
grep -q 'Entering MASTER' /root/far/log && { cat /root/far/log; fail "the other router has taken over"; }
kill -USR2 $peer
wait_for "the other router has counted" 90 test -s /root/far/keepalived.stats
sed -n '/Priority Zero/,/Sent/p' /root/far/keepalived.stats | grep -q 'Received: 0' || { cat /root/far/keepalived.stats; fail "we have resigned"; }
say "the other router has seen no change and no farewell"
check "nothing has failed for good" systemctl is-active keepalived-rs
# A configuration that the new version refuses keeps the old one running.
echo 'vrrp_instance VI_2 {' >>/etc/keepalived/keepalived.conf
sed -i 's/interface eth0/interface/' /etc/keepalived/keepalived.conf
pid=$(main_pid keepalived-rs)
check "the same version once more" apt-get -y -q --reinstall install "/host/packages/$2"
grep -q 'goes on with the old program' /tmp/out || { cat /tmp/out; fail "nobody says that the configuration is refused"; }
[ "$(main_pid keepalived-rs)" = "$pid" ] || fail "it was ended"
say "an upgrade with a broken configuration leaves the daemon alone"
cp /root/before.conf /etc/keepalived/keepalived.conf
kill $peer
wait $peer

check "stop" systemctl stop keepalived
wait_for "the address is gone" 90 no_vip

# Mistakes.
echo 'vrrp_instance VI_2 {' >>/etc/keepalived/keepalived.conf
sed -i 's/interface eth0/interface/' /etc/keepalived/keepalived.conf
systemctl start keepalived-rs && fail "it starts with a broken configuration"
say "a broken configuration does not start"
systemctl status --no-pager keepalived-rs >/tmp/out 2>&1
grep -q 'keepalived.conf' /tmp/out || { cat /tmp/out; fail "the status says no reason"; }
say "the status says why"
sed 's/eth0/later0/' /root/before.conf >/etc/keepalived/keepalived.conf
printf 'global_defs {\n dynamic_interfaces\n}\n' >>/etc/keepalived/keepalived.conf
check "a missing interface does not hinder the start" systemctl start keepalived-rs
wait_for "the status line says what is missing" 90 sh -c 'systemctl show -p StatusText keepalived-rs | grep -q "waiting for interface later0"'
systemctl show -p StatusText keepalived-rs
check "stop" systemctl stop keepalived-rs
cp /root/before.conf /etc/keepalived/keepalived.conf

. /host/packaging/units.sh
cp /root/before.conf /etc/keepalived/keepalived.conf
check "start" systemctl start keepalived-rs
wait_for "master again" 90 has_vip

# The way out.
check "apt remove" apt-get -y -q remove keepalived-rs
wait_for "the address is gone" 90 no_vip
check "our conffile is kept" test -e /etc/default/keepalived-rs
check "the configuration is kept" cmp /etc/keepalived/keepalived.conf /root/before.conf
check "apt purge" apt-get -y -q purge keepalived-rs
check "our conffile is gone" test ! -e /etc/default/keepalived-rs
check "the configuration is kept" cmp /etc/keepalived/keepalived.conf /root/before.conf
check "back to stock" dpkg -i /host/packages/keepalived.deb
systemctl restart keepalived
wait_for "stock is master" 90 has_vip
check "it runs stock's binary" test "$(readlink -f "/proc/$(systemctl show -p MainPID --value keepalived)/exe")" = /usr/sbin/keepalived
check "stop" systemctl stop keepalived
left=$(find /etc/systemd /usr/lib/systemd /lib/systemd -name '*keepalived-rs*' 2>/dev/null)
[ -z "$left" ] || fail "left behind: $left"
say "nothing of ours is left"
