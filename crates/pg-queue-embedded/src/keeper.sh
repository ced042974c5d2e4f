# Keeps one private server: makes it, runs it, and stops and deletes it at the end of standard input, which is a pipe
# whose other end only the owner holds. However the owner ends, killed included, its end closes and this script knows.
#
# Arguments: the private folder, the folder of the programs, then arguments for `postgres`.
# Files in the folder: `data`; `log` of both programs; `pid` of the server once it runs; `ended` once it has ended.
folder=$1 programs=$2
shift 2

PATH=$PATH:/usr/bin:/bin
# The folder keeps strangers out; in it, the owner may read the log even if that is another user.
umask 022
# A job in the background loses its standard input, but not another descriptor.
exec 3<&0 </dev/null >"$folder/log" 2>&1

if "$programs/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 --no-locale \
    --no-sync --no-instructions
then
    "$programs/postgres" -D "$folder/data" "$@" &
    server=$!
    echo "$server" >"$folder/pid"
fi

# From here on only the owner ends this script: no signal, and no `:` below, which would if it could not write. The
# server has its own ways with signals and must not inherit this.
trap '' HUP INT QUIT TERM

{
    while read -r _; do :; done
    # More than once, because a server that has only just begun does not hear the signal yet; but not when it has
    # ended, because its number may be another process by now. An owner that has lost patience deletes the folder
    # itself, and then only the server can tell that it has ended.
    while [ ! -e "$folder/ended" ] && kill -0 "$server" 2>/dev/null; do
        kill -QUIT "$server"
        # A test may have frozen it.
        kill -CONT "$server"
        sleep 0.02 || sleep 1
    done
} <&3 &

if [ -n "$server" ]; then wait "$server"; fi
true >"$folder/ended"
# The job in the background ends only after the owner.
wait
rm -rf "$folder"
