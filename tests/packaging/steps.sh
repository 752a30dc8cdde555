# Read by the scripts that run in the guest: one line for each step, and an end at the first that fails.
set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
vip=10.5.0.9

say() { echo "ok: $*"; }
fail() {
  echo "FAILED: $*"
  echo "--- status"; systemctl status --no-pager -l keepalived-rs keepalived keepalived-rs-unprivileged 2>&1 | tail -40
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
main_pid() { systemctl show -p MainPID --value "$1"; }
is_ours() { [ "$(readlink -f "/proc/$(main_pid "$1")/exe")" = /usr/sbin/keepalived-rs ]; }
check() { local what=$1; shift; "$@" >/tmp/out 2>&1 || { cat /tmp/out; fail "$what"; }; say "$what"; }

# watch; ...; untouched WHAT: nobody took the address away or set it in between.
watch() { ip -o monitor address >/tmp/changes & monitor=$!; }
untouched() {
  kill $monitor
  grep -q "$vip" /tmp/changes && { cat /tmp/changes; fail "the address was touched by $1"; }
  say "the address was never touched by $1"
}
