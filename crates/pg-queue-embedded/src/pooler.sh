# Keeps one PgBouncer: runs it, and kills it at the end of standard input, which is a pipe whose other end only the owner
# holds, as in keeper.sh.
#
# Arguments: its private folder, with `pgbouncer.ini` in it; its program.
folder=$1 program=$2

PATH=$PATH:/usr/bin:/bin
umask 022
exec 3<&0 </dev/null >"$folder/log" 2>&1
trap '' HUP INT QUIT TERM

(trap - HUP INT QUIT TERM; exec "$program" "$folder/pgbouncer.ini" 3<&-) &
pooler=$!
# One that has ended by itself is reaped with this script, so that its number is nobody else's until then.
cat <&3 >/dev/null
kill -KILL "$pooler" 2>/dev/null
rm -rf "$folder"
