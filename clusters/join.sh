#!/usr/bin/env bash
# Join this machine to the cluster whose head is at $RAY_HEAD_IP.
ulimit -Sn "$(ulimit -Hn)"
ray start --address="$RAY_HEAD_IP:6379" --disable-usage-stats || exit
# `ray down` stops only the head. The raylet here then ends by itself, but may leave its log monitor running.
raylet=$(pgrep -n -u "$UID" -x raylet)
monitor=$(pgrep -n -u "$UID" -f ray/_private/log_monitor.py)
setsid nohup bash -c "while kill -0 $raylet; do sleep 5; done; kill $monitor" > /dev/null 2>&1 < /dev/null &
