#!/bin/bash
# Runs as root in a Debian guest with systemd (tests/packaging/run): from a running stock keepalived to ours and back.
# $1: the package; /host/packages has it. Prints one line for each step; ends at the first that fails.
set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
deb=/host/packages/$1
vip=10.5.0.9

say() { echo "ok: $*"; }
fail() {
  echo "FAILED: $*"
  echo "--- status"; systemctl status --no-pager -l keepalived-rs keepalived 2>&1 | tail -40
  echo "--- journal"; journalctl -q --no-pager -n 60 2>&1 | tail -60
  echo "--- addresses"; ip -br addr
  exit 1
}
# wait_for WHAT SECONDS COMMAND...
wait_for() {
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "not in time: $what"
    sleep 0.1
  done
  say "$what"
}
has_vip() { ip -o addr show dev eth0 | grep -q "inet $vip/"; }
no_vip() { ! has_vip; }
is_ours() { [ "$(readlink -f "/proc/$(systemctl show -p MainPID --value "$1")/exe")" = /usr/sbin/keepalived-rs ]; }
check() { local what=$1; shift; "$@" >/tmp/out 2>&1 || { cat /tmp/out; fail "$what"; }; say "$what"; }

ip link add eth0 type veth peer name far0
ip link set far0 up
ip addr add 10.5.0.1/24 dev eth0
ip link set eth0 up
cat >/etc/keepalived/keepalived.conf <<'C'
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 9
    priority 150
    advert_int 2
    virtual_ipaddress {
        10.5.0.9/24
    }
}
C
cp /etc/keepalived/keepalived.conf /root/before.conf
echo '# local' >>/etc/default/keepalived
check "stock keepalived starts" systemctl start keepalived
wait_for "stock keepalived is master" 30 has_vip

# The old daemon goes on running while its package is replaced.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
ip -o monitor address >/tmp/changes & monitor=$!
check "our package replaces stock's" apt-get -y -q install "$deb"
rm /usr/sbin/policy-rc.d
check "the address is still there" has_vip
check "adopt ends the old daemon" keepalived-rs adopt
check "ours starts" systemctl start keepalived-rs
wait_for "ours is master" 20 grep -q 'Entering MASTER STATE' <(journalctl -q -t Keepalived_vrrp -f -n 200)
kill $monitor
grep -q "$vip" /tmp/changes && { cat /tmp/changes; fail "the address was touched"; }
say "the address was never touched"
check "it runs our binary" is_ours keepalived-rs
check "keepalived.service is the same unit" is_ours keepalived
check "pidof finds it" pidof keepalived
check "the configuration is as it was" cmp /etc/keepalived/keepalived.conf /root/before.conf
check "it is enabled" systemctl is-enabled keepalived-rs
check "reload" systemctl reload keepalived
check "status" systemctl status --no-pager keepalived

# A crash: back at once, as master.
ip -o monitor address >/tmp/changes & monitor=$!
pid=$(systemctl show -p MainPID --value keepalived-rs)
kill -9 "$pid"
another() { local now; now=$(systemctl show -p MainPID --value keepalived-rs); [ "$now" != 0 ] && [ "$now" != "$pid" ] && systemctl is-active keepalived-rs; }
wait_for "it comes back after kill -9" 20 another
wait_for "the log tells that it goes on" 20 sh -c "journalctl -q | grep -q 'master a moment ago'"
check "the address is still there" has_vip
kill $monitor
grep -q "$vip" /tmp/changes && { cat /tmp/changes; fail "the address was touched by the crash"; }
say "the address was never touched by the crash"

check "stop" systemctl stop keepalived
wait_for "the address is gone" 10 no_vip

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
wait_for "the status line says what is missing" 10 sh -c 'systemctl show -p StatusText keepalived-rs | grep -q "waiting for interface later0"'
systemctl show -p StatusText keepalived-rs
check "stop" systemctl stop keepalived-rs
cp /root/before.conf /etc/keepalived/keepalived.conf
check "start" systemctl start keepalived-rs
wait_for "master again" 30 has_vip

# The way out.
check "apt remove" apt-get -y -q remove keepalived-rs
wait_for "the address is gone" 10 no_vip
check "our conffile is kept" test -e /etc/default/keepalived-rs
check "the configuration is kept" cmp /etc/keepalived/keepalived.conf /root/before.conf
check "apt purge" apt-get -y -q purge keepalived-rs
check "our conffile is gone" test ! -e /etc/default/keepalived-rs
check "the configuration is kept" cmp /etc/keepalived/keepalived.conf /root/before.conf
check "back to stock" dpkg -i /host/packages/keepalived.deb
systemctl restart keepalived
wait_for "stock is master" 30 has_vip
check "it runs stock's binary" test "$(readlink -f "/proc/$(systemctl show -p MainPID --value keepalived)/exe")" = /usr/sbin/keepalived
check "stop" systemctl stop keepalived
left=$(find /etc/systemd /usr/lib/systemd /lib/systemd -name '*keepalived-rs*' 2>/dev/null)
[ -z "$left" ] || fail "left behind: $left"
say "nothing of ours is left"
