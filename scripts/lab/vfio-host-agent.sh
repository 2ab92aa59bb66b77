# Runs the commands that lie in /run/lab/jobs/ID: side by side, each in a session of its own, with
# its output going straight to files that the other side of the share can read at any time. Lines come
# and go over file descriptor 3, opened by the /init.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

run_job() {
  cd "/run/lab/jobs/$1" || return
  setsid sh -c 'echo $$ >pid; exec sh ./command <stdin >stdout 2>stderr 3>&-'
  echo "done $1 $?" >&3
}

# A job that was told to start an instant ago may not have its session yet.
kill_job() {
  until [ -s "/run/lab/jobs/$1/pid" ]; do sleep 0.1; done
  kill -KILL "-$(cat "/run/lab/jobs/$1/pid")"
}

echo ready >&3
while read -r verb id; do
  case $verb in
    run) run_job "$id" & ;;
    kill) kill_job "$id" & ;;
  esac
done <&3
