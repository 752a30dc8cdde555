# Read by debian.sh, where ours runs as packaged: the stricter drop-in and the unit without root do the same work.

cat >/etc/keepalived/keepalived.conf <<'C'
global_defs {
    vrrp_garp_master_repeat 1
}
vrrp_script looks {
    script "/bin/sh -c 'id -u >/tmp/uid; test -e /proc/self'"
    interval 5
    timeout 60
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 9
    priority 150
    advert_int 3
    track_script {
        looks
    }
    virtual_ipaddress {
        10.5.0.9/24
    }
    virtual_routes {
        10.77.0.0/16 via 10.5.0.2 dev eth0
    }
    notify /usr/local/bin/told
}
vrrp_instance VI_2 {
    interface eth0
    virtual_router_id 10
    use_vmac
    advert_int 3
    virtual_ipaddress {
        10.5.0.10/24
    }
}
virtual_server 10.5.0.9 80 {
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.5.0.77 80 {
        MISC_CHECK {
            misc_path "/bin/true"
            misc_timeout 60
        }
    }
}
C
printf '#!/bin/sh\necho "$@" >>/run/keepalived-rs/told\n' >/usr/local/bin/told
chmod 755 /usr/local/bin/told
cp /etc/keepalived/keepalived.conf /root/units.conf

served() { ipvsadm -Sn | grep -q -- '-a -t 10.5.0.9:80 -r 10.5.0.77:80'; }
has() { ip -o addr | grep -q "inet $1/"; }
lacks() { ! has "$1"; }
unserved() { [ -z "$(ipvsadm -Sn)" ]; }

# works UNIT: all of it, with that unit.
works() {
  local unit=$1 pid since
  since=$(date '+%F %T')
  install -d -m 755 /run/keepalived-rs
  rm -f /run/keepalived-rs/told
  cp /root/units.conf /etc/keepalived/keepalived.conf
  check "$unit starts" systemctl start "$unit"
  wait_for "$unit: master" 90 has_vip
  wait_for "$unit: master with a MAC of its own" 90 has 10.5.0.10
  wait_for "$unit: the route is there" 90 sh -c "ip route | grep -q '^10.77.0.0/16 via 10.5.0.2'"
  wait_for "$unit: the virtual server is served" 90 served
  wait_for "$unit: the notify script has run" 90 grep -q 'INSTANCE VI_1 MASTER' /run/keepalived-rs/told
  pid=$(main_pid "$unit")
  sed -i 's/10.5.0.9\/24/10.5.0.9\/24\n10.5.0.11\/24/' /etc/keepalived/keepalived.conf
  check "$unit: reload" systemctl reload "$unit"
  wait_for "$unit: what the reload has added" 90 has 10.5.0.11
  [ "$(main_pid "$unit")" = "$pid" ] || fail "$unit: another process"
  kill -9 "$pid"
  another() { local now; now=$(main_pid "$unit"); [ "$now" != 0 ] && [ "$now" != "$pid" ] && systemctl is-active "$unit"; }
  wait_for "$unit: it comes back after kill -9" 90 another
  check "$unit: the address is still there" has_vip
  wait_for "$unit: goes on as master" 90 sh -c "journalctl -q -u '$unit' --since '$since' | grep -q 'master a moment ago'"
  check "$unit: stop" systemctl stop "$unit"
  wait_for "$unit: the addresses are gone" 90 no_vip
  wait_for "$unit: of the other instance, too" 90 lacks 10.5.0.10
  wait_for "$unit: nothing is served" 90 unserved
  if journalctl -q -u "$unit" --since "$since" | grep -iE 'not permitted|denied|unable|read-only'; then fail "$unit: it lacks a right"; fi
  say "$unit: nothing was refused"
}

check "stop" systemctl stop keepalived-rs
sleep 1 # journals are asked by the second
works keepalived-rs
check "the drop-in" install -D -m 644 /usr/share/doc/keepalived-rs/examples/strict.conf \
  /etc/systemd/system/keepalived-rs.service.d/strict.conf
systemctl daemon-reload
works keepalived-rs
rm -r /etc/systemd/system/keepalived-rs.service.d
systemctl daemon-reload
works keepalived-rs-unprivileged
[ "$(journalctl -q -u keepalived-rs-unprivileged -o json | grep -o '"_UID":"[0-9]*"' | sort -u | grep -vc '"0"')" -gt 0 ] ||
  fail "it runs as root"
say "keepalived-rs-unprivileged: not as root"
